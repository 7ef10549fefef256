import * as fs from 'node:fs';
import { CmsadmError } from '../errors.ts';
import type { Host } from '../host/system.ts';
import { type Accounts, readAccounts } from './accounts.ts';
import { baseOf, isSystemError, orGone, walk } from './data-set.ts';
import { carriedBy, type DataSet, type Entry, shownPath, TEMPORARY } from './entry.ts';
import { keep } from './kept.ts';

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
export function holdPlace(host: Host, set: DataSet, path: string): Held {
  if (!carriedBy(set)(path)) throw refused(set, path, 'this data set does not carry it');
  return holdInside(host, set, path);
}

/** The same for what a data set does not carry: a file that this server has to itself. */
export function holdInside(host: Host, set: DataSet, path: string): Held {
  const parts = path.split('/');
  if (parts.some((part) => ['', '.', '..'].includes(part))) throw refused(set, path, 'it is not a plain relative path');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: names are bytes 0x01 to 0xff
  if (!/^[\x01-\xff]+$/.test(path)) throw refused(set, path, 'it holds characters that no file name has');
  if (parts.some((part) => part.length > 255)) throw refused(set, path, 'a name in it is too long');
  let handle = fs.openSync(baseOf(host, set), FOLDER);
  for (const part of parts.slice(0, -1)) {
    const outer = handle;
    const inner = orGone(() => fs.openSync(within(outer, part), FOLDER | fs.constants.O_NOFOLLOW));
    fs.closeSync(outer);
    if (inner === undefined) throw refused(set, path, `${shownPath(part)} is not a folder here`);
    handle = inner;
  }
  const folder = Buffer.from(`/proc/self/fd/${handle}`);
  return { handle, folder, place: within(handle, parts.at(-1) ?? '') };
}

const within = (handle: number, name: string): Buffer => Buffer.from(`/proc/self/fd/${handle}/${name}`, 'latin1');

const lstatIf = (place: Buffer): fs.Stats | undefined => orGone(() => fs.lstatSync(place));
const isFolder = (place: Buffer): boolean => lstatIf(place)?.isDirectory() ?? false;

/** What a receiver writes with. */
export type Writer = {
  readonly host: Host;
  /** Read again each time: a session outlives the making of an account. */
  accounts(): Accounts;
  /** A fresh name in a held folder, for what grows there. */
  temporary(held: Held): Buffer;
  /** Called with where the copy of something that is replaced or removed was kept. */
  readonly onKept: (set: DataSet, path: string, kept: string) => void;
};

export function makeWriter(host: Host, onKept: Writer['onKept']): Writer {
  const running = host.system.processStart(process.pid) ?? '0';
  let made = 0;
  return {
    host,
    accounts: () => readAccounts(host.root),
    temporary: ({ handle }) => {
      made += 1;
      return within(handle, `${TEMPORARY}${process.pid}.${running}.${made}`);
    },
    onKept,
  };
}

function keepWhatStands(writer: Writer, set: DataSet, path: string, { place }: Held): void {
  const kept = keep(writer.host, set, path, place);
  if (kept !== undefined) writer.onKept(set, path, kept);
}

/** Puts what has grown under a temporary name in its place, durably; what stood there is kept. */
export function moveIn(writer: Writer, set: DataSet, path: string, from: Buffer, held: Held): void {
  if (isFolder(held.place)) throw refused(set, path, 'a folder stands there');
  keepWhatStands(writer, set, path, held);
  fs.renameSync(from, held.place);
  fs.fsyncSync(held.handle);
}

/** Makes a folder, or gives it mode and owner. @throws CmsadmError path-refused where something else stands */
export function putFolder(writer: Writer, set: DataSet, entry: Entry & { type: 'folder' }, held: Held): void {
  const present = lstatIf(held.place);
  if (present && !present.isDirectory()) throw refused(set, entry.path, 'something that is no folder stands there');
  if (!present) fs.mkdirSync(held.place, { mode: 0o700 });
  // By handle: the owner first, which may clear mode bits.
  const accounts = writer.accounts();
  const folder = fs.openSync(held.place, FOLDER | fs.constants.O_NOFOLLOW);
  try {
    if (writer.host.root.ownersCount) fs.fchownSync(folder, accounts.uid(entry.owner), accounts.gid(entry.group));
    fs.fchmodSync(folder, entry.mode);
    fs.fsyncSync(folder);
  } finally {
    fs.closeSync(folder);
  }
  fs.fsyncSync(held.handle);
}

/** Makes or replaces a symbolic link; what it points to is not looked at. */
export function putLink(writer: Writer, set: DataSet, entry: Entry & { type: 'link' }, held: Held): void {
  const temporary = writer.temporary(held);
  const accounts = writer.accounts();
  fs.symlinkSync(Buffer.from(entry.target, 'latin1'), temporary);
  try {
    if (writer.host.root.ownersCount) fs.lchownSync(temporary, accounts.uid(entry.owner), accounts.gid(entry.group));
    moveIn(writer, set, entry.path, temporary, held);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  }
}

/** Removes one name; a folder only if it is empty. What is removed is kept. Says whether it is gone. */
export function remove(writer: Writer, set: DataSet, path: string, held: Held): boolean {
  const present = lstatIf(held.place);
  if (!present) return true;
  if (present.isDirectory()) {
    try {
      fs.rmdirSync(held.place);
    } catch (error) {
      // It still holds what this data set does not carry, such as tagged backups.
      if (isSystemError(error) && ['ENOTEMPTY', 'EEXIST'].includes(error.code)) return false;
      throw error;
    }
  } else {
    keepWhatStands(writer, set, path, held);
    fs.unlinkSync(held.place);
  }
  fs.fsyncSync(held.handle);
  return true;
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
