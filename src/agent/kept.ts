import { randomUUID } from 'node:crypto';
import * as fs from 'node:fs';
import { at, list, readText } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { append, makeFolders } from '../host/writing.ts';
import { paths } from '../pair/state.ts';
import type { Conflict } from '../pair/sync-reports.ts';
import { isSystemError, orGone, placeIn } from './data-set.ts';
import { type DataSet, shownPath } from './entry.ts';

const lstatIf = (place: Buffer): fs.Stats | undefined => orGone(() => fs.lstatSync(place));

const stamp = (now: number): string => `${new Date(now).toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`;

const parentOf = (place: Buffer): Buffer => place.subarray(0, place.lastIndexOf('/'));

/** A copy that was kept: its path below the root, and what must be synced before the original may go. */
export type Kept = { readonly path: string; readonly unsynced: readonly Buffer[] };

/**
 * Gives what stands at a place a second name below `/var/lib/cmsadm/kept/<set>/<time>`.
 * @returns undefined for a folder, and where nothing stands
 */
export function keep(host: Host, set: DataSet, path: string, place: Buffer): Kept | undefined {
  const stat = lstatIf(place);
  if (!stat || stat.isDirectory()) return undefined;
  const time = stamp(host.system.clock());
  for (let again = 0; ; again += 1) {
    const folder = `${paths.kept}/${set.name}/${again === 0 ? time : `${time}-${again}`}`;
    const kept = placeIn(Buffer.from(at(host.root, folder)), path);
    if (!freePlace(kept)) continue;
    const unsynced = [parentOf(kept)];
    try {
      fs.linkSync(place, kept);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      copy(place, kept, stat); // another file system, or one without hard links
      if (stat.isFile()) unsynced.push(kept);
    }
    return { path: `${folder}/${path}`, unsynced };
  }
}

// Taken where this path, or a file that it would lie below, was already kept in the same second.
function freePlace(kept: Buffer): boolean {
  try {
    fs.mkdirSync(parentOf(kept), { recursive: true, mode: 0o700 });
  } catch (error) {
    if (isSystemError(error) && ['EEXIST', 'ENOTDIR'].includes(error.code)) return false;
    throw error;
  }
  return lstatIf(kept) === undefined;
}

function copy(from: Buffer, to: Buffer, stat: fs.Stats): void {
  if (stat.isSymbolicLink()) fs.symlinkSync(fs.readlinkSync(from, 'buffer'), to);
  else if (stat.isFile()) {
    fs.copyFileSync(from, to, fs.constants.COPYFILE_EXCL);
    fs.chmodSync(to, stat.mode & 0o7777);
    fs.utimesSync(to, stat.atime, stat.mtime);
  }
}

/** Removes kept copies that are older than so many days. @returns how many times of keeping went */
export function pruneKept(host: Host, days: number): number {
  const oldest = stamp(host.system.clock() - days * 86_400_000);
  let gone = 0;
  for (const set of list(host.root, paths.kept))
    for (const time of list(host.root, `${paths.kept}/${set}`)) {
      if (time.slice(0, oldest.length) >= oldest) continue;
      fs.rmSync(at(host.root, `${paths.kept}/${set}/${time}`), { recursive: true, force: true });
      gone += 1;
    }
  return gone;
}

const conflictsPath = `${paths.sync}/conflicts.jsonl`;

/**
 * Records that this server's own version of a file lost against the other one's.
 * @returns a line about it
 */
export function recordConflict(host: Host, set: DataSet, path: string, owner: string, kept: string): string {
  const conflict: Conflict = {
    id: randomUUID().slice(0, 8),
    set: set.name,
    path: shownPath(path),
    at: new Date(host.system.clock()).toISOString(),
    owner,
    kept: shownPath(kept),
  };
  makeFolders(host.root, paths.sync, 0o700);
  append(host.root, conflictsPath, `${JSON.stringify(conflict)}\n`);
  return `${conflict.set}: ${conflict.path} of ${owner} lost (${conflict.id}), kept in ${conflict.kept}`;
}

/** The conflicts whose losing copies are still kept here. */
export const readConflicts = (host: Host): Conflict[] =>
  (readText(host.root, conflictsPath) ?? '')
    .split('\n')
    .filter((line) => line.startsWith('{') && line.endsWith('}'))
    .map((line): Conflict => JSON.parse(line));
