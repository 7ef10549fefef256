import { readFileSync } from 'node:fs';

/**
 * A clock that goes as wrong as a file says, in seconds; right where the file is missing or holds no number. It is read
 * each time: a clock may jump while the agent runs. For tests only (docs/reliability.md): the lab's servers share one clock.
 */
export const shiftedClock = (clock: () => number, file: string) => (): number => {
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return clock(); // not shifted
  }
  return clock() + (/^-?\d{1,9}\s*$/.test(text) ? Number(text) * 1000 : 0);
};
