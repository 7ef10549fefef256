import { type Root, readText } from '../host/root.ts';
import { append, makeFolders, removeIfThere, writeState } from '../host/writing.ts';
import { paths } from './state.ts';

/** Something that a person must see; kept until an operation that he runs has settled it. */
export type Alarm = { readonly at: string; readonly text: string };

/** Raises an alarm: durable, shown by `config_HA show`. */
export function raiseAlarm(root: Root, text: string, now: number): void {
  makeFolders(root, paths.state, 0o700);
  append(root, paths.alarms, `${JSON.stringify({ at: new Date(now).toISOString(), text })}\n`);
}

export const readAlarms = (root: Root): Alarm[] =>
  (readText(root, paths.alarms) ?? '')
    .split('\n')
    .filter((line) => line.startsWith('{"at":') && line.endsWith('}'))
    .map((line): Alarm => JSON.parse(line));

/** Clears these alarms, and leaves what came since; all of them without a list. */
export function clearAlarms(root: Root, seen?: readonly Alarm[]): void {
  const left = seen ? readAlarms(root).filter(({ at, text }) => !seen.some((s) => s.at === at && s.text === text)) : [];
  if (left.length > 0) writeState(root, paths.alarms, left.map((alarm) => `${JSON.stringify(alarm)}\n`).join(''));
  else removeIfThere(root, paths.alarms);
}
