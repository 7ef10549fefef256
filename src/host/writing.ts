// What is changed of a server's files: whole or not at all, and on the disk when it returns unless it says otherwise.
import * as fs from 'node:fs';
import { dirname } from 'node:path';
import { CmsadmError } from '../errors.ts';
import {
  accounts,
  at,
  codeOf,
  type Disk,
  diskOf,
  isFolder,
  isMissing,
  isThere,
  list,
  missingFolders,
  type Ownership,
  type Root,
  readTarget,
} from './root.ts';

const idOf = (root: Root, file: '/etc/passwd' | '/etc/group', name: string): number => {
  if (name === 'root') return 0;
  const id = accounts(root, file).find(([other]) => other === name)?.[1];
  if (id !== undefined) return id;
  if (/^\d+$/.test(name)) return Number(name);
  throw new CmsadmError('account-unknown', `There is no account "${name}" in ${file}.`, { file });
};

/** Makes the folder and its missing parents, 0755 unless said otherwise; returns those it made, outermost first. */
export function makeFolders(root: Root, folder: string, mode = 0o755): string[] {
  const missing = missingFolders(root, folder);
  for (const one of missing) {
    diskOf(root).mkdirSync(at(root, one), { mode });
    syncFolder(root, dirname(one));
  }
  return missing;
}

export function syncFolder(root: Root, folder: string): void {
  const handle = diskOf(root).openSync(at(root, folder), 'r');
  try {
    diskOf(root).fsyncSync(handle);
  } finally {
    diskOf(root).closeSync(handle);
  }
}

const newFile = fs.constants.O_CREAT | fs.constants.O_EXCL | fs.constants.O_WRONLY | fs.constants.O_NOFOLLOW;

/**
 * Writes a new file with its final mode and owner, on disk before it returns.
 * @throws the system's error; nothing is left at `path` then
 */
export function writeNew(root: Root, path: string, content: string, own: Ownership): void {
  const handle = diskOf(root).openSync(at(root, path), newFile, 0o600);
  try {
    fill(root, handle, content, own);
  } catch (error) {
    discard(root, path);
    throw error;
  } finally {
    diskOf(root).closeSync(handle);
  }
}

/**
 * As writeNew, for a file that takes the place of another one: access lists, extended attributes and the security
 * label are that file's.
 * @param attributes gets the path of the new, empty file, and puts them there
 */
export async function writeNewLike(
  root: Root,
  path: string,
  content: string,
  own: Ownership,
  attributes: (file: string) => Promise<void>,
): Promise<void> {
  const handle = diskOf(root).openSync(at(root, path), newFile, 0o600);
  try {
    await attributes(`/proc/${process.pid}/fd/${handle}`);
    fill(root, handle, content, own);
  } catch (error) {
    discard(root, path);
    throw error;
  } finally {
    diskOf(root).closeSync(handle);
  }
}

// The first error is the one to tell; on a disk that fails this fails too.
function discard(root: Root, path: string): void {
  try {
    diskOf(root).unlinkSync(at(root, path));
  } catch {
    // Staged names are taken away again when the change is put back.
  }
}

function fill(root: Root, handle: number, content: string, own: Ownership): void {
  if (root.ownersCount)
    diskOf(root).fchownSync(handle, idOf(root, '/etc/passwd', own.owner), idOf(root, '/etc/group', own.group));
  diskOf(root).fchmodSync(handle, own.mode);
  diskOf(root).writeFileSync(handle, Buffer.from(content, 'latin1'));
  diskOf(root).fsyncSync(handle);
}

/** Appends lines to a file of ours, on disk before it returns; a file that is not there is made (0600). */
export function append(root: Root, path: string, text: string): void {
  const isNew = !diskOf(root).existsSync(at(root, path));
  appendBytes(root, path, Buffer.from(text, 'latin1'), 0o600, (handle) => diskOf(root).fsyncSync(handle));
  if (isNew) syncFolder(root, dirname(path));
}

/** Appends lines to a log, for whose disk nobody waits; a file that is not there is made with this mode. */
export const appendLog = (root: Root, path: string, text: string, mode: number): void =>
  appendBytes(root, path, Buffer.from(text), mode, () => undefined);

function appendBytes(root: Root, path: string, bytes: Buffer, mode: number, then: (handle: number) => void): void {
  const flags = fs.constants.O_APPEND | fs.constants.O_RDWR | fs.constants.O_CREAT;
  const handle = diskOf(root).openSync(at(root, path), flags, mode);
  try {
    diskOf(root).writeFileSync(handle, isTorn(diskOf(root), handle) ? Buffer.concat([LINE_BREAK, bytes]) : bytes);
    then(handle);
  } finally {
    diskOf(root).closeSync(handle);
  }
}

const LINE_BREAK = Buffer.from('\n');

/** True where a full disk or a power cut left a part of a line: the next one must not hang on it. */
function isTorn(disk: Disk, handle: number): boolean {
  const { size } = disk.fstatSync(handle);
  const last = Buffer.alloc(1);
  return size > 0 && disk.readSync(handle, last, 0, 1, size - 1) === 1 && !last.equals(LINE_BREAK);
}

/** Gives a file that a program wrote its mode, and has it on disk when it returns. */
export function settleFile(root: Root, path: string, mode: number): void {
  const handle = diskOf(root).openSync(at(root, path), fs.constants.O_RDWR);
  try {
    diskOf(root).fchmodSync(handle, mode);
    diskOf(root).fsyncSync(handle);
  } finally {
    diskOf(root).closeSync(handle);
  }
}

/** Replaces or makes a state file of ours durably: temporary name, fsync, rename, fsync of the folder. */
export function writeState(root: Root, path: string, content: string, mode = 0o600): void {
  makeFolders(root, dirname(path), 0o700);
  replaceBy(root, `${path}.${process.pid}.new`, path, content, mode);
}

/** The same in a folder that is there, for a file that only one process writes at a time: `temporary` may be left of a dead one. */
export function replaceBy(root: Root, temporary: string, path: string, content: string, mode: number): void {
  removeIfThere(root, temporary);
  writeNew(root, temporary, content, { mode, owner: 'root', group: 'root' });
  try {
    rename(root, temporary, path);
  } catch (error) {
    discard(root, temporary);
    throw error;
  }
  syncFolder(root, dirname(path));
}

export function removeIfThere(root: Root, path: string): boolean {
  try {
    diskOf(root).unlinkSync(at(root, path));
    return true;
  } catch (error) {
    if (isMissing(error) || isNothing(error, root, path)) return false;
    throw error;
  }
}

/** What is mounted read-only refuses the removal of what is not there as well. (unlink(2) says EROFS, and not ENOENT) */
const isNothing = (error: unknown, root: Root, path: string): boolean =>
  codeOf(error) === 'EROFS' && !isThere(root, path);

/** Removes a file so that no power cut brings it back. */
export function removeDurably(root: Root, path: string): void {
  if (removeIfThere(root, path)) syncFolder(root, dirname(path));
}

export const rename = (root: Root, from: string, to: string): void =>
  diskOf(root).renameSync(at(root, from), at(root, to));

/** The name under which a link is made before it takes its place. */
export const preparedLink = (path: string): string => `${path}.new`;

/** Makes a symbolic link, or points it elsewhere, in one step; durable when it returns. (rename(2)) */
export function pointLink(root: Root, path: string, target: string): void {
  const prepared = preparedLink(path);
  removeIfThere(root, prepared);
  diskOf(root).symlinkSync(target, at(root, prepared));
  try {
    rename(root, prepared, path);
  } catch (error) {
    discard(root, prepared);
    throw error;
  }
  syncFolder(root, dirname(path));
}

/** A second name for the same file; the backup beside a managed file. */
export const hardLink = (root: Root, from: string, to: string): void =>
  diskOf(root).linkSync(at(root, from), at(root, to));

/** Removes a folder if it is empty and no mount point; says whether it did. */
export function removeEmptyFolder(root: Root, folder: string): boolean {
  try {
    diskOf(root).rmdirSync(at(root, folder));
    return true;
  } catch (error) {
    if (isMissing(error) || ['ENOTEMPTY', 'EEXIST', 'EBUSY'].includes(codeOf(error))) return false;
    if (isNothing(error, root, folder)) return false;
    throw error;
  }
}

/**
 * Takes a folder away with all that is in it; links are not followed.
 * @throws the system's error, also where something comes into it meanwhile
 */
export function removeTree(root: Root, place: string): void {
  if (!isThere(root, place)) return;
  if (readTarget(root, place) !== undefined || !isFolder(root, place)) {
    removeIfThere(root, place);
    return;
  }
  for (const name of list(root, place)) removeTree(root, `${place}/${name}`);
  diskOf(root).rmdirSync(at(root, place));
}
