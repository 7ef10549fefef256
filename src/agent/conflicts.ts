import { randomUUID } from 'node:crypto';
import * as v from 'valibot';
import { isThere, readText } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { append, makeFolders, writeState } from '../host/writing.ts';
import { jsonLine, parsedLine } from '../pair/json-lines.ts';
import { paths } from '../pair/state.ts';
import type { Conflict } from '../pair/sync-reports.ts';
import { type DataSet, shownPath } from './entry.ts';

const conflictsPath = `${paths.sync}/conflicts.jsonl`;

/** Records that this server's own version of a file loses against the other one's; on the disk when it returns. */
export function recordConflict(host: Host, set: DataSet, path: string, owner: string, kept: string): Conflict {
  const conflict: Conflict = {
    id: randomUUID().slice(0, 8),
    set: set.name,
    path: shownPath(path),
    at: new Date(host.system.clock()).toISOString(),
    owner,
    kept: shownPath(kept),
  };
  makeFolders(host.root, paths.sync, 0o700);
  append(host.root, conflictsPath, jsonLine(conflict));
  return conflict;
}

/** What is said of a conflict. */
export const conflictText = ({ id, set, path, owner, kept }: Conflict): string =>
  `${set}: ${path} of ${owner} lost (${id}), kept in ${kept}`;

/** Takes records back: that version did not lose after all. */
export function withdrawConflicts(host: Host, conflicts: readonly Conflict[]): void {
  const ids = new Set(conflicts.map(({ id }) => id));
  leaveConflicts(host, ({ id }) => !ids.has(id));
}

/** The conflicts whose losing copies are still kept here. */
export const readConflicts = (host: Host): Conflict[] => conflictLines(host).flatMap(conflictIn);

const conflictLines = (host: Host): string[] =>
  (readText(host.root, conflictsPath) ?? '').split('\n').filter((line) => line !== '');

const conflictSchema = v.object({
  ...{ id: v.string(), set: v.string(), path: v.string(), at: v.string(), owner: v.string(), kept: v.string() },
});

function conflictIn(line: string): Conflict[] {
  const told = parsedLine(line);
  return v.is(conflictSchema, told) ? [told] : [];
}

/**
 * Forgets the conflicts whose copies are gone, pruned or removed by hand with the folder of their time. Nothing is recorded meanwhile, for this waits for
 * nothing; whoever dies on the way leaves the lines of before. @returns how many
 */
export const forgetConflicts = (host: Host): number => leaveConflicts(host, ({ kept }) => isStillKept(host, kept));

/** Lines that cannot be read stay. @returns how many went */
function leaveConflicts(host: Host, stays: (conflict: Conflict) => boolean): number {
  const lines = conflictLines(host);
  const left = lines.filter((line) => conflictIn(line).every(stays));
  if (left.length < lines.length) writeState(host.root, conflictsPath, left.map((line) => `${line}\n`).join(''));
  return lines.length - left.length;
}

/** By the folder of its time: a name with bytes that are no text is recorded readably only. */
const isStillKept = ({ root }: Host, kept: string): boolean =>
  isThere(
    root,
    kept
      .split('/')
      .slice(0, paths.kept.split('/').length + 2)
      .join('/'),
  );
