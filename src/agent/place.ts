import * as fs from 'node:fs';
import { CmsadmError } from '../errors.ts';
import { at } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { paths } from '../pair/state.ts';
import { type Accounts, readAccounts } from './accounts.ts';
import { baseOf, isSystemError, orGone, placeIn, walk } from './data-set.ts';
import { carriedBy, type DataSet, type Entry, shownPath, TEMPORARY } from './entry.ts';

const refused = (set: DataSet, path: string, why: string): CmsadmError =>
  new CmsadmError('path-refused', `"${shownPath(path)}" in the data set ${set.name} was refused: ${why}.`, {
    file: set.path,
    remedy: 'Compare that folder on both servers; a link or file that stands in the way must be moved.',
  });

/**
 * Where a path that the other server sent lies here. Whatever it is, it stays inside the data set: no empty, `.` or
 * `..` part, and every parent an existing folder that is no link.
 * @throws CmsadmError path-refused, data-set-missing
 */
export function safePlace(host: Host, set: DataSet, path: string): Buffer {
  const base = baseOf(host, set);
  const parts = path.split('/');
  if (parts.some((part) => ['', '.', '..'].includes(part))) throw refused(set, path, 'it is not a plain relative path');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: names are bytes 0x01 to 0xff
  if (!/^[\x01-\xff]+$/.test(path)) throw refused(set, path, 'it holds characters that no file name has');
  if (parts.some((part) => part.length > 255)) throw refused(set, path, 'a name in it is too long');
  if (!carriedBy(set)(path)) throw refused(set, path, 'this data set does not carry it');
  for (let depth = 1; depth < parts.length; depth += 1) {
    const parent = parts.slice(0, depth).join('/');
    if (!isFolder(placeIn(base, parent))) throw refused(set, path, `${shownPath(parent)} is not a folder here`);
  }
  return placeIn(base, path);
}

const lstatIf = (place: Buffer): fs.Stats | undefined => orGone(() => fs.lstatSync(place));

const isFolder = (place: Buffer): boolean => lstatIf(place)?.isDirectory() ?? false;

const parentOf = (place: Buffer): Buffer => place.subarray(0, place.lastIndexOf('/'));

function syncFolder(place: Buffer): void {
  const folder = fs.openSync(place, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY);
  try {
    fs.fsyncSync(folder);
  } finally {
    fs.closeSync(folder);
  }
}

/** What a session writes with. */
export type Writer = {
  readonly host: Host;
  /** Read again each time: a session outlives the making of an account. */
  accounts(): Accounts;
  /** A fresh name beside a target, for what grows there. */
  temporary(place: Buffer): Buffer;
  /** Gives what stands at a place a second name below `/var/lib/cmsadm/kept`. */
  keep(set: DataSet, path: string, place: Buffer): void;
};

export function makeWriter(host: Host): Writer {
  const running = host.system.processStart(process.pid) ?? '0';
  let made = 0;
  return {
    host,
    accounts: () => readAccounts(host.root),
    temporary: (place) => {
      made += 1;
      return Buffer.concat([parentOf(place), Buffer.from(`/${TEMPORARY}${process.pid}.${running}.${made}`)]);
    },
    keep: (set, path, place) => keep(host, set, path, place),
  };
}

const stamp = (now: number): string => `${new Date(now).toISOString().slice(0, 19).replaceAll(/[-:]/g, '')}Z`;

function keep(host: Host, set: DataSet, path: string, place: Buffer): void {
  const stat = lstatIf(place);
  if (!stat || stat.isDirectory()) return;
  const time = stamp(host.system.clock());
  for (let again = 0; ; again += 1) {
    const folder = `${paths.kept}/${set.name}/${again === 0 ? time : `${time}-${again}`}`;
    const kept = placeIn(Buffer.from(at(host.root, folder)), path);
    if (!freePlace(kept)) continue;
    try {
      fs.linkSync(place, kept);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      copy(place, kept, stat); // another file system, or one without hard links
    }
    syncFolder(parentOf(kept));
    return;
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

/** Puts what has grown under a temporary name in its place, durably; what stood there is kept. */
export function moveIn(writer: Writer, set: DataSet, path: string, from: Buffer, place: Buffer): void {
  if (isFolder(place)) throw refused(set, path, 'a folder stands there');
  writer.keep(set, path, place);
  fs.renameSync(from, place);
  syncFolder(parentOf(place));
}

/** Makes a folder, or gives it mode and owner. @throws CmsadmError path-refused where something else stands */
export function putFolder(writer: Writer, set: DataSet, entry: Entry & { type: 'folder' }): void {
  const place = safePlace(writer.host, set, entry.path);
  const present = lstatIf(place);
  if (present && !present.isDirectory()) throw refused(set, entry.path, 'something that is no folder stands there');
  if (!present) fs.mkdirSync(place, { mode: 0o700 });
  // By handle: the owner first, which may clear mode bits.
  const accounts = writer.accounts();
  const folder = fs.openSync(place, fs.constants.O_RDONLY | fs.constants.O_DIRECTORY | fs.constants.O_NOFOLLOW);
  try {
    if (writer.host.root.ownersCount) fs.fchownSync(folder, accounts.uid(entry.owner), accounts.gid(entry.group));
    fs.fchmodSync(folder, entry.mode);
    fs.fsyncSync(folder);
  } finally {
    fs.closeSync(folder);
  }
  syncFolder(parentOf(place));
}

/** Makes or replaces a symbolic link; what it points to is not looked at. */
export function putLink(writer: Writer, set: DataSet, entry: Entry & { type: 'link' }): void {
  const place = safePlace(writer.host, set, entry.path);
  const temporary = writer.temporary(place);
  const accounts = writer.accounts();
  fs.symlinkSync(Buffer.from(entry.target, 'latin1'), temporary);
  try {
    if (writer.host.root.ownersCount) fs.lchownSync(temporary, accounts.uid(entry.owner), accounts.gid(entry.group));
    moveIn(writer, set, entry.path, temporary, place);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw error;
  }
}

/** Removes one name; a folder only if it is empty. What is removed is kept. Says whether it is gone. */
export function remove(writer: Writer, set: DataSet, path: string): boolean {
  const place = safePlace(writer.host, set, path);
  const present = lstatIf(place);
  if (!present) return true;
  if (present.isDirectory()) {
    try {
      fs.rmdirSync(place);
    } catch (error) {
      // It still holds what this data set does not carry, such as tagged backups.
      if (isSystemError(error) && ['ENOTEMPTY', 'EEXIST'].includes(error.code)) return false;
      throw error;
    }
  } else {
    writer.keep(set, path, place);
    fs.unlinkSync(place);
  }
  syncFolder(parentOf(place));
  return true;
}

/** Removes what a session that died has left half-written. */
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
