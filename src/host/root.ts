import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { dirname, join } from 'node:path';

/** The calls of node:fs that a server's files are read and written with. */
export type Disk = {
  openSync(path: string, flags: number | string, mode?: number): number;
  closeSync(handle: number): void;
  fsyncSync(handle: number): void;
  fchownSync(handle: number, uid: number, gid: number): void;
  fchmodSync(handle: number, mode: number): void;
  writeFileSync(handle: number, data: Uint8Array): void;
  readSync(handle: number, into: Uint8Array, offset: number, length: number, position: number): number;
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

type Stat = Pick<
  fs.Stats,
  'isFile' | 'isSymbolicLink' | 'mode' | 'uid' | 'gid' | 'dev' | 'ino' | 'nlink' | 'size' | 'ctimeMs'
>;

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

/** What the files of a server lie on. */
export const diskOf = (root: Root): Disk => root.disk ?? fs;

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

/** The system's name of what went wrong; empty for anything else. */
export const codeOf = (error: unknown): string =>
  error instanceof Error && 'code' in error && typeof error.code === 'string' ? error.code : '';

export const isMissing = (error: unknown): boolean => ['ENOENT', 'ENOTDIR'].includes(codeOf(error));

/** name → id and id → name, from the server's own passwd or group file (passwd(5), group(5)). */
export function accounts(root: Root, file: '/etc/passwd' | '/etc/group'): readonly (readonly [string, number])[] {
  try {
    return diskOf(root)
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

/** Text of a file, or undefined where there is none. */
export function readText(root: Root, path: string): string | undefined {
  try {
    return diskOf(root).readFileSync(at(root, path), 'latin1');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Everything a plan must know of one file. Never throws for what an operator may have done to it. */
export function readFact(root: Root, path: string): FileFact {
  try {
    const stat = diskOf(root).lstatSync(at(root, path));
    if (stat.isSymbolicLink())
      return {
        state: 'refused',
        why: `is a link to ${diskOf(root).readlinkSync(at(root, path))}; a managed file must be the file itself`,
      };
    if (!stat.isFile()) return { state: 'refused', why: 'is not a regular file' };
    const content = diskOf(root).readFileSync(at(root, path), 'latin1');
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
      diskOf(root).accessSync(at(root, place), fs.constants.W_OK);
    } catch (error) {
      if (!isMissing(error)) return `${place} cannot be written (${codeOf(error)})`;
    }
  }
  return undefined;
}

function nearestFolder(root: Root, folder: string): string {
  if (folder === '/' || diskOf(root).existsSync(at(root, folder))) return folder;
  return nearestFolder(root, dirname(folder));
}

/** True if something has this name. @throws the system's error where that can't be told */
export function isThere(root: Root, path: string): boolean {
  try {
    diskOf(root).lstatSync(at(root, path));
    return true;
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/** Mode and owner of a file or folder, by whatever name; undefined where there is none. */
export function ownershipOf(root: Root, path: string): Ownership | undefined {
  try {
    const stat = diskOf(root).lstatSync(diskOf(root).realpathSync(at(root, path)));
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

export const isFolder = (root: Root, path: string): boolean => diskOf(root).existsSync(`${at(root, path)}/.`);

/** The folder and its parents that are not there, outermost first. */
export const missingFolders = (root: Root, folder: string): string[] =>
  folder === '/' || diskOf(root).existsSync(at(root, folder)) ? [] : [...missingFolders(root, dirname(folder)), folder];

export type Ownership = { readonly mode: number; readonly owner: string; readonly group: string };

/** Where a symbolic link leads; undefined where there is none. */
export function readTarget(root: Root, path: string): string | undefined {
  try {
    return diskOf(root).readlinkSync(at(root, path));
  } catch (error) {
    if (isMissing(error) || codeOf(error) === 'EINVAL') return undefined;
    throw error;
  }
}

/** Names in a folder, sorted; none if the folder is missing. */
export function list(root: Root, folder: string): string[] {
  try {
    return diskOf(root).readdirSync(at(root, folder)).sort();
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

/**
 * Differs as soon as a name stands for another file, or anything of the file changed: text, owner, mode, access list,
 * attributes, number of names. undefined where there is none.
 */
export function stampOf(root: Root, path: string): string | undefined {
  try {
    const { dev, ino, ctimeMs } = diskOf(root).lstatSync(at(root, path));
    return `${dev}:${ino}:${ctimeMs}`;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** True if both names stand for one file: a backup that is only a second name of what it shall keep. */
export function isSameFile(root: Root, one: string, other: string): boolean {
  const [a, b] = [one, other].map((path) => diskOf(root).lstatSync(at(root, path)));
  return a?.ino === b?.ino && a?.dev === b?.dev;
}
