import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { setImmediate as breathe } from 'node:timers/promises';
import { at, list } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { paths } from '../pair/state.ts';
import { isSystemError, LONGEST, orGone, placeIn, READ_ONLY } from './data-set.ts';
import { type DataSet, lastName } from './entry.ts';
import { type Held, standsAt } from './place.ts';

const lstatIf = (place: Buffer): fs.Stats | undefined => orGone(() => fs.lstatSync(place));

const stamp = (now: number): string => `${new Date(now).toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`;

const parentOf = (place: Buffer): Buffer => place.subarray(0, place.lastIndexOf('/'));

/** What somebody writes all the time is kept so often, and then replaced. */
export const TRIES = 3;

/** A copy that was kept: its path below the root, where that is, and what must be synced before the original may go. */
export type Kept = {
  readonly path: string;
  readonly place: Buffer;
  readonly unsynced: readonly Buffer[];
  /** What it is a copy of (`contentAt`). */
  readonly of: string;
};

/** What stands at a place, as a text that changes with its content, not with a further name; empty where nothing stands. */
export function contentAt(place: Buffer): string {
  const stat = lstatIf(place);
  return stat ? contentOf(stat) : '';
}

export const contentOf = ({ ino, size, mtimeMs }: fs.Stats): string => `${ino}:${size}:${mtimeMs}`;

/** What stands in a place after it was kept, as `standsAt` tells it; where that is not what was kept, what nothing is. */
export function standsKept(held: Held, kept: Kept | undefined): string {
  // A second name is a new stamp.
  const stood = standsAt(held);
  return contentAt(held.place) === (kept?.of ?? '') ? stood : 'not kept';
}

/**
 * Gives what stands at a place a second name below `/var/lib/cmsadm/kept/<set>/<time>`: its own path there, or
 * `long-<digest of it>/<last name>` where that would be longer than the system takes. On another file system it is copied,
 * again where it changed meanwhile; that takes long, and holds up nothing else.
 * @returns undefined for a folder, and where nothing stands
 * @throws the system's error; nothing is left then
 */
export async function keep(host: Host, set: DataSet, path: string, place: Buffer): Promise<Kept | undefined> {
  const { kept, copying } = begin(host, set, path, place);
  if (!copying) return kept;
  try {
    while (isTorn(copying)) await fs.promises.copyFile(copying.from, copying.kept.place);
    return finished(copying);
  } catch (error) {
    takeBack(host, set, copying.kept);
    throw error;
  } finally {
    fs.closeSync(copying.file);
  }
}

/** The same at once, of what is small. */
export function keepNow(host: Host, set: DataSet, path: string, place: Buffer): Kept | undefined {
  const { kept, copying } = begin(host, set, path, place);
  if (!copying) return kept;
  try {
    while (isTorn(copying)) fs.copyFileSync(copying.from, copying.kept.place);
    return finished(copying);
  } catch (error) {
    takeBack(host, set, copying.kept);
    throw error;
  } finally {
    fs.closeSync(copying.file);
  }
}

/** A file that is opened to be copied. */
type Copying = {
  readonly kept: Omit<Kept, 'of'>;
  readonly file: number;
  readonly from: string;
  /** What it was when the last copy was begun. */
  of: string;
  copies: number;
};

/** Keeps what stands there, or begins to copy it. */
function begin(host: Host, set: DataSet, path: string, place: Buffer): { kept?: Kept; copying?: Copying } {
  const stat = lstatIf(place);
  if (!stat || stat.isDirectory()) return {};
  const begun = freePath(host, set, path);
  const unsynced = [parentOf(begun.place)];
  try {
    fs.linkSync(place, begun.place);
    return { kept: { ...begun, unsynced, of: contentAt(begun.place) } };
  } catch (error) {
    if (!isSystemError(error)) throw error; // another file system, or one without hard links
  }
  if (stat.isSymbolicLink()) fs.symlinkSync(fs.readlinkSync(place, 'buffer'), begun.place);
  if (!stat.isFile()) return { kept: { ...begun, unsynced, of: contentOf(stat) } };
  try {
    // Nothing else takes this place for free meanwhile, nor its folder for empty.
    fs.closeSync(fs.openSync(begun.place, 'wx', 0o600));
    const file = orGone(() => fs.openSync(place, READ_ONLY));
    if (file === undefined) {
      takeBack(host, set, begun);
      return {};
    }
    const kept = { ...begun, unsynced: [...unsynced, begun.place] };
    return { copying: { kept, file, from: `/proc/self/fd/${file}`, of: '', copies: 0 } };
  } catch (error) {
    takeBack(host, set, begun);
    throw error;
  }
}

/** True until the copy is one of what the file still is; of what is written all the time the last try stays. */
function isTorn(copying: Copying): boolean {
  const now = contentOf(fs.fstatSync(copying.file));
  if (now === copying.of || copying.copies === TRIES) return false;
  copying.of = now;
  copying.copies += 1;
  return true;
}

function finished({ kept, file, of }: Copying): Kept {
  const { mode, atimeMs, mtimeMs } = fs.fstatSync(file);
  fs.chmodSync(kept.place, mode & 0o7777);
  // As text: of a number before 1970 node makes the present.
  fs.utimesSync(kept.place, String(atimeMs / 1000), String(mtimeMs / 1000));
  return { ...kept, of };
}

/** A path for what is kept now; its folders are made. */
function freePath(host: Host, set: DataSet, path: string): Pick<Kept, 'path' | 'place'> {
  const time = stamp(host.system.clock());
  for (let again = 0; ; again += 1) {
    const folder = `${paths.kept}/${set.name}/${again === 0 ? time : `${time}-${again}`}`;
    const timed = Buffer.from(at(host.root, folder));
    const name = timed.length + 1 + path.length > LONGEST ? shortened(path) : path;
    const place = freePlace(timed, name);
    if (place) return { path: `${folder}/${name}`, place };
  }
}

const shortened = (path: string): string =>
  `long-${createHash('sha256').update(path, 'latin1').digest('hex').slice(0, 16)}/${lastName(path)}`;

/** Takes a copy away again, with the folders that only it needed: what it is a copy of stays where it was. */
export function takeBack(host: Host, set: DataSet, { place }: Pick<Kept, 'place'>): void {
  fs.rmSync(place, { force: true });
  const ofSet = at(host.root, `${paths.kept}/${set.name}`);
  try {
    for (let folder = parentOf(place); folder.length > ofSet.length; folder = parentOf(folder)) fs.rmdirSync(folder);
  } catch (error) {
    // Another copy lies in it.
    if (!isSystemError(error)) throw error;
  }
}

/**
 * Makes the folders for a path below a folder of one time.
 * @returns undefined where this path was already kept in the same second, or what is no folder on the way to it: through a
 *   link that was kept, the copy would go wherever that points
 */
function freePlace(time: Buffer, path: string): Buffer | undefined {
  fs.mkdirSync(time, { recursive: true, mode: 0o700 });
  let place = time;
  for (const part of path.split('/')) {
    if (place !== time && !isFolderFrom(place)) return undefined;
    place = placeIn(place, part);
  }
  return lstatIf(place) === undefined ? place : undefined;
}

/** True for a folder that is there now, made if nothing was there. */
function isFolderFrom(place: Buffer): boolean {
  const stat = lstatIf(place);
  if (!stat) fs.mkdirSync(place, { mode: 0o700 });
  return stat?.isDirectory() ?? true;
}

const days = (count: number): number => count * 86_400_000;

/**
 * Removes kept copies that are older than so many days, by the time in the name of their folder and by the file system's own
 * stamps: where only one of the two clocks was wrong, nothing young goes.
 * @returns how many times of keeping went
 * @throws the system's error
 */
export async function pruneKept(host: Host, keepDays: number): Promise<number> {
  const oldest = stamp(host.system.clock() - days(keepDays));
  const oldestStamp = Date.now() - days(keepDays);
  let gone = 0;
  for (const set of list(host.root, paths.kept))
    for (const time of list(host.root, `${paths.kept}/${set}`)) {
      if (!/^\d{8}T\d{6}Z(-\d+)?$/.test(time) || time.slice(0, oldest.length) >= oldest) continue;
      const folder = at(host.root, `${paths.kept}/${set}/${time}`);
      if (!(await isOlder(Buffer.from(folder), oldestStamp))) continue;
      await fs.promises.rm(folder, { recursive: true, force: true });
      gone += 1;
    }
  return gone;
}

/** True where nothing came to a folder, or to any below it, since then. */
async function isOlder(folder: Buffer, oldest: number): Promise<boolean> {
  const own = lstatIf(folder);
  if (own && own.ctimeMs >= oldest) return false;
  await breathe();
  for (const item of fs.readdirSync(folder, { withFileTypes: true, encoding: 'buffer' }))
    if (item.isDirectory() && !(await isOlder(Buffer.concat([folder, Buffer.from('/'), item.name]), oldest)))
      return false;
  return true;
}
