import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { setImmediate as breathe } from 'node:timers/promises';
import { CmsadmError } from '../errors.ts';
import { at } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { type Accounts, readAccounts } from './accounts.ts';
import { carriedBy, type DataSet, type Entry } from './entry.ts';

/** Digests of one data set's files by inode, size and times; kept by the caller from scan to scan. */
export type Digests = Map<string, string>;

/** Opened for reading only if it is no link; a pipe that took a file's place does not block. */
export const READ_ONLY = fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW | fs.constants.O_NONBLOCK;

/** The bytes of a place in a data set, for calls that take a path. */
export const placeIn = (base: Buffer, path: string): Buffer =>
  path === '' ? base : Buffer.concat([base, Buffer.from(`/${path}`, 'latin1')]);

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

export type Found = { readonly path: string; readonly place: Buffer; readonly stat: fs.BigIntStats };

/** Everything below a folder that `wanted` lets through, parents before their children; links are not followed. */
export function* walk(base: Buffer, wanted: (path: string) => boolean, folder = ''): Generator<Found> {
  const names = orGone(() => fs.readdirSync(placeIn(base, folder), 'buffer')) ?? [];
  for (const name of names.map((bytes) => bytes.toString('latin1')).sort()) {
    const path = folder === '' ? name : `${folder}/${name}`;
    if (!wanted(path)) continue;
    const place = placeIn(base, path);
    const stat = orGone(() => fs.lstatSync(place, { bigint: true }));
    if (!stat) continue;
    yield { path, place, stat };
    if (stat.isDirectory()) yield* walk(base, wanted, path);
  }
}

/** An error of the operating system, as against a bug of ours. */
export const isSystemError = (error: unknown): error is Error & { code: string } =>
  error instanceof Error && 'syscall' in error && 'code' in error && typeof error.code === 'string';

// ELOOP: a link took the place of what was looked at; ENXIO: a socket or pipe did.
const goneCodes = ['ENOENT', 'ENOTDIR', 'ELOOP', 'ENXIO'];

/** Files come and go while they are read: what is gone was not there. */
export function orGone<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch (error) {
    if (isSystemError(error) && goneCodes.includes(error.code)) return undefined;
    throw error;
  }
}

/**
 * Reads a data set: files, folders and links as they are; nothing else is carried.
 * @throws CmsadmError data-set-missing, data-set-unreadable
 */
export async function scan(host: Host, set: DataSet, digests: Digests = new Map()): Promise<Entry[]> {
  const base = baseOf(host, set);
  const accounts = readAccounts(host.root);
  const used = new Set<string>();
  const entries: Entry[] = [];
  let seen = 0;
  try {
    for (const found of walk(base, carriedBy(set))) {
      seen += 1;
      if (seen % 500 === 0) await breathe();
      const entry = await entryOf(found, accounts, digests, used);
      if (entry) entries.push(entry);
    }
  } catch (cause) {
    throw isSystemError(cause) ? unreadable(set, cause) : cause;
  }
  for (const key of digests.keys()) if (!used.has(key)) digests.delete(key);
  return entries;
}

async function entryOf(
  { path, place, stat }: Found,
  accounts: Accounts,
  digests: Digests,
  used: Set<string>,
): Promise<Entry | undefined> {
  const own = { path, owner: accounts.owner(Number(stat.uid)), group: accounts.group(Number(stat.gid)) };
  const mode = Number(stat.mode & 0o7777n);
  if (stat.isDirectory()) return { type: 'folder', ...own, mode };
  if (stat.isSymbolicLink()) {
    const target = orGone(() => fs.readlinkSync(place, 'buffer').toString('latin1'));
    return target === undefined ? undefined : { type: 'link', ...own, target };
  }
  if (!stat.isFile()) return undefined;
  const key = [stat.dev, stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs].join(':');
  const sha256 = digests.get(key) ?? (await digestOf(place));
  if (sha256 === undefined) return undefined;
  // The kernel's stamps are coarse: a file written this very moment may change again under the same stamp.
  if (Date.now() - Number(stat.ctimeMs) > 1000) {
    digests.set(key, sha256);
    used.add(key);
  }
  return { type: 'file', ...own, mode, mtimeMs: mtimeOf(stat), size: Number(stat.size), sha256 };
}

// Rounded, not cut: utimes(2) is called with seconds as a fraction and may come back a nanosecond short.
const mtimeOf = (stat: fs.BigIntStats): number => Math.round(Number(stat.mtimeNs) / 1e6);

const buffer = Buffer.alloc(1_048_576);

async function digestOf(place: Buffer): Promise<string | undefined> {
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
