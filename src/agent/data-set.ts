import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { setImmediate as breathe } from 'node:timers/promises';
import { CmsadmError } from '../errors.ts';
import { at } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import type { Accounts } from './accounts.ts';
import type { DataSet, Entry } from './entry.ts';

/** Opened for reading only if it is no link; a pipe that took a file's place does not block. */
export const READ_ONLY = fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK;

/** The bytes of a place in a data set, for calls that take a path. */
export const placeIn = (base: Buffer, path: string): Buffer =>
  path === '' ? base : Buffer.concat([base, Buffer.from(`/${path}`, 'latin1')]);

/** The longest path that the system takes. (limits.h, PATH_MAX) */
export const LONGEST = 4_095;

/** Where a data set lies on this machine. @throws CmsadmError data-set-missing if that is no folder itself */
export function baseOf(host: Host, set: DataSet): Buffer {
  const place = at(host.root, set.path);
  if (orGone(() => fs.lstatSync(place))?.isDirectory()) return Buffer.from(place);
  throw new CmsadmError('data-set-missing', `The folder ${set.path} of the data set ${set.name} is not there.`, {
    file: set.path,
    remedy: `Mount or make ${set.path}; nothing is synced from or to it, and nothing removed, until it is there.`,
  });
}

export const unreadable = (set: DataSet, cause: Error & { code: string }): CmsadmError =>
  new CmsadmError('data-set-unreadable', `The data set ${set.name} cannot be read: ${cause.code}.`, {
    file: set.path,
    cause,
    remedy: 'Check the disk and the file system below that folder.',
  });

/** A place in a data set: text where that is as good as its bytes, which is quicker. */
export type Place = Buffer | string;

const plain = /^[ -~]*$/;
const textIf = (place: Buffer): Place => {
  const text = place.toString('latin1');
  return plain.test(text) ? text : place;
};
const placeBelow = (folder: Place, name: string): Place =>
  typeof folder === 'string' && plain.test(name)
    ? `${folder}/${name}`
    : Buffer.concat([Buffer.from(folder), Buffer.from(`/${name}`, 'latin1')]);

type Found = { readonly path: string; readonly place: Place; readonly stat: fs.Stats };

/**
 * Everything below a folder that `wanted` lets through, parents before their children; links are not followed.
 * @param onFolder called with each folder before its names are read
 * @param into asked of each folder below the first one, before it is given out: whether its names are read
 */
export function* walk(
  base: Buffer,
  wanted: (path: string) => boolean,
  onFolder: (path: string, place: Place, stat: fs.Stats) => void = () => {},
  start = '',
  into: (path: string, stat: fs.Stats) => boolean = () => true,
): Generator<Found> {
  const folders = [{ folder: start, inside: textIf(placeIn(base, start)) }];
  for (let next = folders.pop(); next !== undefined; next = folders.pop()) {
    const { folder, inside } = next;
    const own = orGone(() => fs.lstatSync(inside));
    if (!own?.isDirectory()) continue;
    onFolder(folder, inside, own);
    for (const name of orGone(() => fs.readdirSync(inside, 'latin1')) ?? []) {
      const path = folder === '' ? name : `${folder}/${name}`;
      if (!wanted(path)) continue;
      const place = placeBelow(inside, name);
      const stat = orGone(() => fs.lstatSync(place));
      if (!stat) continue;
      const goesOn = stat.isDirectory() && into(path, stat);
      yield { path, place, stat };
      if (goesOn) folders.push({ folder: path, inside: place });
    }
  }
}

/** An error of the operating system, as against a bug of ours. */
export const isSystemError = (error: unknown): error is Error & { code: string } =>
  error instanceof Error && 'syscall' in error && 'code' in error && typeof error.code === 'string';

// ELOOP: a link took the place of what was looked at; ENXIO: a socket or pipe did; ENAMETOOLONG: no call can name it.
const goneCodes = ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO', 'ENAMETOOLONG'];

/** Files come and go while they are read: what is gone was not there. */
export function orGone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isSystemError(error) && goneCodes.includes(error.code)) return undefined;
    throw error;
  }
}

/** A name as it is carried; undefined for what is none of file, folder and link, or is gone. Reads a file's content. */
export async function entryAt({ path, place, stat }: Found, accounts: Accounts): Promise<Entry | undefined> {
  const own = { path, owner: accounts.owner(stat.uid), group: accounts.group(stat.gid) };
  const mode = stat.mode & 0o7777;
  if (stat.isDirectory()) return { type: 'folder', ...own, mode };
  if (stat.isSymbolicLink()) {
    const target = orGone(() => fs.readlinkSync(place, 'buffer').toString('latin1'));
    return target === undefined ? undefined : { type: 'link', ...own, target };
  }
  if (!stat.isFile()) return undefined;
  const sha256 = await digestOf(place);
  return sha256 === undefined
    ? undefined
    : { type: 'file', ...own, mode, mtimeMs: mtimeOf(stat), size: stat.size, sha256 };
}

// Rounded, not cut: utimes(2) is called with seconds as a fraction and may come back a nanosecond short.
export const mtimeOf = ({ mtimeMs }: fs.Stats): number => Math.round(mtimeMs);

const buffer = Buffer.alloc(1_048_576);

async function digestOf(place: Place): Promise<string | undefined> {
  const file = orGone(() => fs.openSync(place, READ_ONLY));
  if (file === undefined) return undefined;
  try {
    const hash = createHash('sha256');
    for (let length = fs.readSync(file, buffer); length > 0; length = fs.readSync(file, buffer)) {
      hash.update(buffer.subarray(0, length));
      if (length === buffer.length) await breathe();
    }
    return hash.digest('hex');
  } finally {
    fs.closeSync(file);
  }
}
