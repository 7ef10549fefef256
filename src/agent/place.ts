import * as fs from 'node:fs';
import { CmsadmError } from '../errors.ts';
import type { Host } from '../host/system.ts';
import type { Accounts } from './accounts.ts';
import { baseOf, isSystemError, LONGEST, orGone, walk } from './data-set.ts';
import { carriedBy, type DataSet, type Entry, shownPath, TEMPORARY } from './entry.ts';
import { stampOf, type Tree } from './tree.ts';

const refused = (set: DataSet, path: string, why: string): CmsadmError =>
  new CmsadmError('path-refused', `"${shownPath(path)}" in the data set ${set.name} was refused: ${why}.`, {
    file: set.path,
    remedy: 'Compare that folder on both servers; a link or file that stands in the way must be moved.',
  });

/** A folder held open, and a name in it: nobody can lead work there elsewhere by swapping folders for links. */
export type Held = { readonly handle: number; readonly folder: Buffer; readonly place: Buffer };

const FOLDER = fs.constants.O_RDONLY | fs.constants.O_DIRECTORY;

/**
 * Opens the folder in which a path that the other server sent lies. Whatever the path is, it stays inside the data set:
 * no empty, `.` or `..` part, and every parent an existing folder that is no link (open(2), O_NOFOLLOW). The caller
 * closes the handle.
 * @throws CmsadmError path-refused, data-set-missing
 */
export const holdPlace = (tree: Pick<Tree, 'host' | 'set' | 'carried'>, path: string): Held =>
  hold(tree.host, tree.set, path, judged(tree, path));

/** The same for what a data set does not carry: a file that this server has to itself. */
export const holdInside = (host: Host, set: DataSet, path: string): Held =>
  hold(host, set, path, plainParts(set, path));

function hold(host: Host, set: DataSet, path: string, parts: readonly string[]): Held {
  let handle = fs.openSync(baseOf(host, set), FOLDER);
  for (const part of parts.slice(0, -1)) {
    const outer = handle;
    const inner = openIn(outer, part);
    if (inner === undefined) throw refused(set, path, `${shownPath(part)} is not a folder here`);
    handle = inner;
  }
  const folder = Buffer.from(`/proc/self/fd/${handle}`);
  return { handle, folder, place: within(handle, parts.at(-1) ?? '') };
}

/** Opens a folder in an opened one, which is closed in any case; undefined where none is. */
function openIn(outer: number, part: string): number | undefined {
  try {
    return orGone(() => fs.openSync(within(outer, part), FOLDER | fs.constants.O_NOFOLLOW));
  } finally {
    fs.closeSync(outer);
  }
}

/** The place of another path of the same folder. @throws CmsadmError path-refused */
export function placeBeside({ handle }: Held, tree: Pick<Tree, 'set' | 'carried'>, path: string): Buffer {
  return within(handle, judged(tree, path).at(-1) ?? '');
}

function judged({ set, carried }: Pick<Tree, 'set' | 'carried'>, path: string): string[] {
  const parts = plainParts(set, path);
  if (!carried(path)) throw refused(set, path, 'this data set does not carry it');
  return parts;
}

/** True for a path that a data set carries, whoever names it. */
export const isCarried = ({ carried }: Pick<Tree, 'carried'>, path: string): boolean =>
  path.length <= LONGEST && whyNotPlain(path) === undefined && carried(path);

function plainParts(set: DataSet, path: string): string[] {
  const why = whyNotPlain(path);
  if (why !== undefined) throw refused(set, path, why);
  return path.split('/');
}

function whyNotPlain(path: string): string | undefined {
  const parts = path.split('/');
  if (parts.some((part) => ['', '.', '..'].includes(part))) return 'it is not a plain relative path';
  // biome-ignore lint/suspicious/noControlCharactersInRegex: names are bytes 0x01 to 0xff
  if (!/^[\x01-\xff]+$/.test(path)) return 'it holds characters that no file name has';
  return parts.some((part) => part.length > 255) ? 'a name in it is too long' : undefined;
}

const within = (handle: number, name: string): Buffer => Buffer.from(`/proc/self/fd/${handle}/${name}`, 'latin1');

const lstatIf = (place: Buffer): fs.Stats | undefined => orGone(() => fs.lstatSync(place));

/** What stands at a place, as a text that changes with it; empty where nothing stands, one text for every folder. */
export function standsAt({ place }: Held): string {
  const stat = lstatIf(place);
  if (!stat) return '';
  return stat.isDirectory() ? '/' : stampOf(stat);
}

/** What a receiver writes with. */
export type Writer = {
  readonly host: Host;
  /** A fresh name in a held folder, for what grows there. */
  temporary(held: Held): Buffer;
};

export function makeWriter(host: Host): Writer {
  const running = host.system.processStart(process.pid) ?? '0';
  let made = 0;
  return {
    host,
    temporary: ({ handle }) => {
      made += 1;
      return within(handle, `${TEMPORARY}${process.pid}.${running}.${made}`);
    },
  };
}

/** Puts what has grown under a temporary name in its place. */
export function moveIn(set: DataSet, path: string, from: Buffer, held: Held): void {
  if (standsAt(held) === '/') throw refused(set, path, 'a folder stands there');
  fs.renameSync(from, held.place);
}

/**
 * Makes a folder, or gives it mode and owner.
 * @returns the folder, opened; the caller closes it
 * @throws CmsadmError path-refused where something else stands
 */
export function putFolder(host: Host, accounts: Accounts, set: DataSet, entry: FolderEntry, held: Held): number {
  const present = standsAt(held);
  if (present !== '' && present !== '/') throw refused(set, entry.path, 'something that is no folder stands there');
  if (present === '') fs.mkdirSync(held.place, { mode: 0o700 });
  // By handle: the owner first, which may clear mode bits.
  const folder = fs.openSync(held.place, FOLDER | fs.constants.O_NOFOLLOW);
  try {
    if (host.root.ownersCount) fs.fchownSync(folder, accounts.uid(entry.owner), accounts.gid(entry.group));
    fs.fchmodSync(folder, entry.mode);
    return folder;
  } catch (error) {
    fs.closeSync(folder);
    throw error;
  }
}
type FolderEntry = Extract<Entry, { type: 'folder' }>;

/** Makes a symbolic link under a temporary name; what it points to is not looked at. */
export function makeLink(writer: Writer, accounts: Accounts, entry: LinkEntry, held: Held): Buffer {
  const temporary = writer.temporary(held);
  fs.symlinkSync(Buffer.from(entry.target, 'latin1'), temporary);
  try {
    if (writer.host.root.ownersCount) fs.lchownSync(temporary, accounts.uid(entry.owner), accounts.gid(entry.group));
    return temporary;
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  }
}
type LinkEntry = Extract<Entry, { type: 'link' }>;

/** Removes one name; a folder only if it is empty. Says whether it is gone. */
export function remove(held: Held): boolean {
  const present = standsAt(held);
  if (present === '') return true;
  if (present !== '/') {
    fs.unlinkSync(held.place);
    return true;
  }
  try {
    fs.rmdirSync(held.place);
    return true;
  } catch (error) {
    // It still holds what this data set does not carry, such as tagged backups.
    if (isSystemError(error) && ['ENOTEMPTY', 'EEXIST'].includes(error.code)) return false;
    throw error;
  }
}

/** Removes what an agent that died has left half-written. */
export function removeLeftovers(host: Host, set: DataSet): void {
  const carried = carriedBy(set);
  const owner = (path: string): [pid: number, start: string] | undefined => {
    const found = /(?:^|\/)\.cmsadm-sync\.(\d+)\.(\d+)\.\d+$/.exec(path);
    return found?.[1] && found[2] ? [Number(found[1]), found[2]] : undefined;
  };
  for (const { path, place, stat } of walk(baseOf(host, set), (one) => carried(one) || owner(one) !== undefined)) {
    const [pid, start] = owner(path) ?? [];
    if (pid === undefined || stat.isDirectory()) continue;
    if ((host.system.processStart(pid) ?? '0') !== start) fs.rmSync(place, { force: true });
  }
}
