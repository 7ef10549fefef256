import { CmsadmError, exitCodes } from './errors.ts';
import { printable } from './printable.ts';
import type { Asker } from './report.ts';

/** What was typed, as a message may repeat it: printable, in quotes, not at any length. */
export const quoted = (typed: string): string =>
  `"${printable(typed.length > 40 ? `${typed.slice(0, 40)}...` : typed)}"`;

/**
 * The number that was typed, matched strictly: `1` to `count` without sign, leading zero or anything else beside it
 * but blanks around, or `q`.
 * @throws CmsadmError no-such-choice, whose message says what may be typed
 */
export function parseChoice(typed: string, count: number): number | 'q' {
  const text = typed.trim();
  if (text === 'q') return text;
  if (/^[1-9]\d*$/.test(text) && Number(text) <= count) return Number(text);
  const range = count === 1 ? '1' : `a number from 1 to ${count}`;
  const what = text === '' ? 'Nothing was typed' : `${quoted(text)} is no choice`;
  throw new CmsadmError('no-such-choice', `${what}: type ${range}, or q to quit.`, { exitCode: exitCodes.usage });
}

/**
 * Asks for one of `count` numbered entries, or `q`, until one of them is typed; the range of the prompt comes from the
 * list: `numberedChoice(ask, 'Enter choice', 12)` asks `Enter choice (1-12) or q to quit:`.
 */
export async function numberedChoice(ask: Pick<Asker, 'text'>, prompt: string, count: number): Promise<number | 'q'> {
  const text = `${prompt} (${count === 1 ? '1' : `1-${count}`}) or q to quit:`;
  const check = (typed: string): string => `${parseChoice(typed, count)}`;
  return parseChoice(await ask.text({ text, check }), count);
}
