import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { dirname, join } from 'node:path';
import { CmsadmError } from '../errors.ts';

/** The calls of node:fs that a server's files are read and written with. */
export type Disk = {
  openSync(path: string, flags: number | string, mode?: number): number;
  closeSync(handle: number): void;
  fsyncSync(handle: number): void;
  fchownSync(handle: number, uid: number, gid: number): void;
  fchmodSync(handle: number, mode: number): void;
  writeFileSync(handle: number, data: Uint8Array): void;
  readFileSync(path: string, encoding: 'latin1'): string;
  readlinkSync(path: string): string;
  realpathSync(path: string): string;
  lstatSync(path: string): Stat;
  fstatSync(handle: number): Stat;
  existsSync(path: string): boolean;
  accessSync(path: string, mode: number): void;
  mkdirSync(path: string, options: { mode: number }): unknown;
  rmdirSync(path: string): void;
  readdirSync(path: string): string[];
  linkSync(from: string, to: string): void;
  symlinkSync(target: string, path: string): void;
  renameSync(from: string, to: string): void;
  unlinkSync(path: string): void;
};
type Stat = Pick<fs.Stats, 'isFile' | 'isSymbolicLink' | 'mode' | 'uid' | 'gid' | 'dev' | 'ino' | 'nlink' | 'ctimeMs'>;

/**
 * The files of one server: everything stands below `prefix` (`/` on a real server).
 * In a rehearsal the user who runs it stands for root: owners are neither set nor judged.
 */
export type Root = {
  readonly prefix: string;
  readonly ownersCount: boolean;
  /** What the files lie on; this machine's file system unless said otherwise. */
  readonly disk?: Disk;
  /** Where the account files lie, for a root that is a folder held open. */
  readonly accounts?: string;
};

const on = (root: Root): Disk => root.disk ?? fs;

/** What was found at a path. Content is latin1 text: one character per byte, so nothing is lost. */
export type FileFact =
  | { readonly state: 'absent' }
  | {
      readonly state: 'file';
      readonly content: string;
      readonly sha256: string;
      readonly mode: number;
      readonly owner: string;
      readonly group: string;
      /** How many other names the file has (hard links); not told where there is none. */
      readonly otherNames?: number;
    }
  /** Something that must not be replaced: a link, a folder, an immutable or unwritable file. */
  | {
      readonly state: 'refused';
      readonly why: string;
      /** It may be a file: the system refused to say. */
      readonly unreadable?: true;
    };

export const sha256 = (content: string): string => createHash('sha256').update(content, 'latin1').digest('hex');

/** Where a path of the server lies on this machine. */
export const at = (root: Root, path: string): string => join(root.prefix, path);

const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';

export const isMissing = (error: unknown): boolean => ['ENOENT', 'ENOTDIR'].includes(codeOf(error));

/** name → id and id → name, from the server's own passwd or group file (passwd(5), group(5)). */
function accounts(root: Root, file: '/etc/passwd' | '/etc/group'): readonly (readonly [string, number])[] {
  try {
    return on(root)
      .readFileSync(join(root.accounts ?? root.prefix, file), 'latin1')
      .split('\n')
      .map((line) => line.split(':'))
      .flatMap(([name, , id]) => (name && id && /^\d+$/.test(id) ? [[name, Number(id)] as const] : []));
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

// Number 0 is root's on every Linux (passwd(5)): most files are, and need no look into the accounts.
const nameOf = (root: Root, file: '/etc/passwd' | '/etc/group', id: number): string =>
  root.ownersCount && id !== 0 ? (accounts(root, file).find(([, other]) => other === id)?.[0] ?? String(id)) : 'root';

const idOf = (root: Root, file: '/etc/passwd' | '/etc/group', name: string): number => {
  if (name === 'root') return 0;
  const id = accounts(root, file).find(([other]) => other === name)?.[1];
  if (id !== undefined) return id;
  if (/^\d+$/.test(name)) return Number(name);
  throw new CmsadmError('account-unknown', `There is no account "${name}" in ${file}.`, { file });
};

/** Text of a file, or undefined where there is none. */
export function readText(root: Root, path: string): string | undefined {
  try {
    return on(root).readFileSync(at(root, path), 'latin1');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Everything a plan must know of one file. Never throws for what an operator may have done to it. */
export function readFact(root: Root, path: string): FileFact {
  try {
    const stat = on(root).lstatSync(at(root, path));
    if (stat.isSymbolicLink())
      return {
        state: 'refused',
        why: `is a link to ${on(root).readlinkSync(at(root, path))}; a managed file must be the file itself`,
      };
    if (!stat.isFile()) return { state: 'refused', why: 'is not a regular file' };
    const content = on(root).readFileSync(at(root, path), 'latin1');
    return {
      state: 'file',
      content,
      sha256: sha256(content),
      mode: stat.mode & 0o7777,
      owner: nameOf(root, '/etc/passwd', stat.uid),
      group: nameOf(root, '/etc/group', stat.gid),
      ...(stat.nlink > 1 ? { otherNames: stat.nlink - 1 } : {}),
    };
  } catch (error) {
    if (isMissing(error)) return { state: 'absent' };
    return { state: 'refused', why: `cannot be read (${codeOf(error) || String(error)})`, unreadable: true };
  }
}

/**
 * Why this file could not be replaced (read-only file system, immutable flag); undefined if it could. Asks access(2),
 * which says EROFS and EPERM to root as well; nothing is tried out.
 */
export function whyNotWritable(root: Root, path: string): string | undefined {
  const folder = nearestFolder(root, dirname(path));
  for (const place of [folder, path]) {
    try {
      on(root).accessSync(at(root, place), fs.constants.W_OK);
    } catch (error) {
      if (!isMissing(error)) return `${place} cannot be written (${codeOf(error)})`;
    }
  }
  return undefined;
}

function nearestFolder(root: Root, folder: string): string {
  if (folder === '/' || on(root).existsSync(at(root, folder))) return folder;
  return nearestFolder(root, dirname(folder));
}

/** True if something has this name. @throws the system's error where that can't be told */
export function isThere(root: Root, path: string): boolean {
  try {
    on(root).lstatSync(at(root, path));
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** Mode and owner of a file or folder, by whatever name; undefined where there is none. */
export function ownershipOf(root: Root, path: string): Ownership | undefined {
  try {
    const stat = on(root).lstatSync(on(root).realpathSync(at(root, path)));
    return {
      mode: stat.mode & 0o7777,
      owner: nameOf(root, '/etc/passwd', stat.uid),
      group: nameOf(root, '/etc/group', stat.gid),
    };
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

export const isFolder = (root: Root, path: string): boolean => on(root).existsSync(`${at(root, path)}/.`);

/** The folder and its parents that are not there, outermost first. */
export const missingFolders = (root: Root, folder: string): string[] =>
  folder === '/' || on(root).existsSync(at(root, folder)) ? [] : [...missingFolders(root, dirname(folder)), folder];

/** Makes the folder and its missing parents, 0755 unless said otherwise; returns those it made, outermost first. */
export function makeFolders(root: Root, folder: string, mode = 0o755): string[] {
  if (folder === '/' || on(root).existsSync(at(root, folder))) return [];
  const made = makeFolders(root, dirname(folder), mode);
  on(root).mkdirSync(at(root, folder), { mode });
  syncFolder(root, dirname(folder));
  return [...made, folder];
}

export function syncFolder(root: Root, folder: string): void {
  const handle = on(root).openSync(at(root, folder), 'r');
  try {
    on(root).fsyncSync(handle);
  } finally {
    on(root).closeSync(handle);
  }
}

export type Ownership = { readonly mode: number; readonly owner: string; readonly group: string };

const newFile = fs.constants.O_CREAT | fs.constants.O_EXCL | fs.constants.O_WRONLY | fs.constants.O_NOFOLLOW;

/**
 * Writes a new file with its final mode and owner, on disk before it returns.
 * @throws the system's error; nothing is left at `path` then
 */
export function writeNew(root: Root, path: string, content: string, own: Ownership): void {
  const handle = on(root).openSync(at(root, path), newFile, 0o600);
  try {
    fill(root, handle, content, own);
  } catch (error) {
    discard(root, path);
    throw error;
  } finally {
    on(root).closeSync(handle);
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
  const handle = on(root).openSync(at(root, path), newFile, 0o600);
  try {
    await attributes(`/proc/${process.pid}/fd/${handle}`);
    fill(root, handle, content, own);
  } catch (error) {
    discard(root, path);
    throw error;
  } finally {
    on(root).closeSync(handle);
  }
}

// The first error is the one to tell; on a disk that fails this fails too.
function discard(root: Root, path: string): void {
  try {
    on(root).unlinkSync(at(root, path));
  } catch {
    // Staged names are taken away again when the change is put back.
  }
}

function fill(root: Root, handle: number, content: string, own: Ownership): void {
  if (root.ownersCount)
    on(root).fchownSync(handle, idOf(root, '/etc/passwd', own.owner), idOf(root, '/etc/group', own.group));
  on(root).fchmodSync(handle, own.mode);
  on(root).writeFileSync(handle, Buffer.from(content, 'latin1'));
  on(root).fsyncSync(handle);
}

/** Appends to a file of ours, on disk before it returns; a file that is not there is made (0600). */
export function append(root: Root, path: string, text: string): void {
  const isNew = !on(root).existsSync(at(root, path));
  const flags = fs.constants.O_APPEND | fs.constants.O_WRONLY | fs.constants.O_CREAT;
  const handle = on(root).openSync(at(root, path), flags, 0o600);
  try {
    on(root).writeFileSync(handle, Buffer.from(text, 'latin1'));
    on(root).fsyncSync(handle);
  } finally {
    on(root).closeSync(handle);
  }
  if (isNew) syncFolder(root, dirname(path));
}

/** Appends to a log, which nobody waits for; a file that is not there is made with this mode. */
export function appendLog(root: Root, path: string, text: string, mode: number): void {
  const flags = fs.constants.O_APPEND | fs.constants.O_WRONLY | fs.constants.O_CREAT;
  const handle = on(root).openSync(at(root, path), flags, mode);
  try {
    on(root).writeFileSync(handle, Buffer.from(text));
  } finally {
    on(root).closeSync(handle);
  }
}

/** Gives a file that a program wrote its mode, and has it on disk when it returns. */
export function settleFile(root: Root, path: string, mode: number): void {
  const handle = on(root).openSync(at(root, path), fs.constants.O_RDWR);
  try {
    on(root).fchmodSync(handle, mode);
    on(root).fsyncSync(handle);
  } finally {
    on(root).closeSync(handle);
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
    on(root).unlinkSync(at(root, path));
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** Removes a file so that no power cut brings it back. */
export function removeDurably(root: Root, path: string): void {
  if (removeIfThere(root, path)) syncFolder(root, dirname(path));
}

export const rename = (root: Root, from: string, to: string): void => on(root).renameSync(at(root, from), at(root, to));

/** Where a symbolic link leads; undefined where there is none. */
export function readTarget(root: Root, path: string): string | undefined {
  try {
    return on(root).readlinkSync(at(root, path));
  } catch (error) {
    if (isMissing(error) || codeOf(error) === 'EINVAL') return undefined;
    throw error;
  }
}

/** The name under which a link is made before it takes its place. */
export const preparedLink = (path: string): string => `${path}.new`;

/** Makes a symbolic link, or points it elsewhere, in one step; durable when it returns. (rename(2)) */
export function pointLink(root: Root, path: string, target: string): void {
  const prepared = preparedLink(path);
  removeIfThere(root, prepared);
  on(root).symlinkSync(target, at(root, prepared));
  try {
    rename(root, prepared, path);
  } catch (error) {
    discard(root, prepared);
    throw error;
  }
  syncFolder(root, dirname(path));
}

/** A second name for the same file; the backup beside a managed file. */
export const hardLink = (root: Root, from: string, to: string): void => on(root).linkSync(at(root, from), at(root, to));

/** Names in a folder, sorted; none if the folder is missing. */
export function list(root: Root, folder: string): string[] {
  try {
    return on(root).readdirSync(at(root, folder)).sort();
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/** Removes a folder if it is empty and no mount point; says whether it did. */
export function removeEmptyFolder(root: Root, folder: string): boolean {
  try {
    on(root).rmdirSync(at(root, folder));
    return true;
  } catch (error) {
    if (isMissing(error) || ['ENOTEMPTY', 'EEXIST', 'EBUSY'].includes(codeOf(error))) return false;
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
  on(root).rmdirSync(at(root, place));
}

/**
 * Differs as soon as a name stands for another file, or anything of the file changed: text, owner, mode, access list,
 * attributes, number of names. undefined where there is none.
 */
export function stampOf(root: Root, path: string): string | undefined {
  try {
    const { dev, ino, ctimeMs } = on(root).lstatSync(at(root, path));
    return `${dev}:${ino}:${ctimeMs}`;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** True if both names stand for one file: a backup that is only a second name of what it shall keep. */
export function isSameFile(root: Root, one: string, other: string): boolean {
  const [a, b] = [one, other].map((path) => on(root).lstatSync(at(root, path)));
  return a?.ino === b?.ino && a?.dev === b?.dev;
}
