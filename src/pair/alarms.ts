import * as v from 'valibot';
import { isThere, type Root, readText } from '../host/root.ts';
import { append, hardLink, makeFolders, removeIfThere, writeState } from '../host/writing.ts';
import { jsonLine, parsedLine } from './json-lines.ts';
import { paths } from './state.ts';

/** Something that a person must see; kept until an operation that he runs has settled it. */
export type Alarm = { readonly at: string; readonly text: string };
const alarmSchema = v.object({ at: v.string(), text: v.string() });

/** Raises an alarm: durable, shown by `config_HA show`. */
export function raiseAlarm(root: Root, text: string, now: number): void {
  makeFolders(root, paths.state, 0o700);
  append(root, paths.alarms, jsonLine({ at: new Date(now).toISOString(), text }));
}

export const readAlarms = (root: Root): Alarm[] => alarmsIn(readText(root, paths.alarms) ?? '');

const alarmsIn = (text: string): Alarm[] =>
  text
    .split('\n')
    .map(parsedLine)
    .filter((told): told is Alarm => v.is(alarmSchema, told));

/** Clears these alarms, and leaves what came since; all of them without a list. */
export function clearAlarms(root: Root, seen?: readonly Alarm[]): void {
  if (!isThere(root, paths.alarms)) return;
  const old = `${paths.alarms}.${process.pid}.old`;
  removeIfThere(root, old);
  hardLink(root, paths.alarms, old);
  const before = readText(root, old) ?? '';
  const left = seen ? alarmsIn(before).filter(({ at, text }) => !seen.some((s) => s.at === at && s.text === text)) : [];
  if (left.length > 0) writeState(root, paths.alarms, left.map(jsonLine).join(''));
  else removeIfThere(root, paths.alarms);
  // What another process raised meanwhile stands at the end of the old file.
  const since = (readText(root, old) ?? '').slice(before.length);
  if (since !== '') append(root, paths.alarms, since);
  removeIfThere(root, old);
}
