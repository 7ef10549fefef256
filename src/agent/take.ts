import * as fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import { isInstalled, runOrFail } from '../host/processes.ts';
import { at, isThere } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { removeIfThere, writeState } from '../host/writing.ts';
import { paths } from '../pair/state.ts';
import type { Accounts } from './accounts.ts';
import type { Agent } from './agent.ts';
import { baseOf, mtimeOf, orGone, placeIn, READ_ONLY } from './data-set.ts';
import { BULK_FOLDER, type DataSet } from './entry.ts';
import type { LiveSet } from './live-set.ts';
import { folderOf } from './names.ts';
import { type Held, holdPlace, placeBeside } from './place.ts';
import { nameOf, setHere, stampOf } from './tree.ts';

const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
export const takenFile = v.strictObject({
  path: v.string(),
  owner: v.string(),
  group: v.string(),
  mode: v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0o7777)),
  mtimeMs: v.pipe(v.number(), v.safeInteger()),
  size: count,
  sign: v.pipe(v.string(), v.regex(/^f[A-Za-z0-9+/]{22}$/)),
});
type TakenFile = v.InferOutput<typeof takenFile>;

const bulkExcludes = `${paths.bulkConfig}.exclude`;

/** Where rsync runs as a server, this is what it may do: write new files into one data set. */
const bulkConfig = (set: DataSet): string =>
  [
    'use chroot = yes',
    'uid = 0',
    'gid = 0',
    'numeric ids = yes',
    'munge symlinks = no',
    'read only = no',
    'write only = yes',
    'list = no',
    'log file = /dev/null',
    'refuse options = delete delete-* remove-source-files D devices specials write-devices copy-devices',
    `exclude from = ${bulkExcludes}`,
    `[${set.name}]`,
    `path = ${set.path}`,
    '',
  ].join('\n');

/** What a data set does not carry, in rsync's patterns: its `*` and `?` are as ours, the rest is taken as it is. */
function excludesOf({ exclude, rendered = [] }: DataSet): string {
  const plain = (text: string): string => text.replaceAll(/[[\]\\]/g, '\\$&');
  const globs = exclude.map((glob) => `${glob.includes('/') ? '/' : ''}${plain(glob)}`);
  const own = rendered.map(({ to }) => `/${plain(to).replaceAll(/[*?]/g, '\\$&')}`);
  return ['*.zdt_*', ...globs, ...own].map((pattern) => `- ${pattern}\n`).join('');
}

/** Lets rsync in for one data set. @returns false where there is no rsync */
export async function openBulk({ host }: Agent, { set }: LiveSet): Promise<boolean> {
  // rsyncd.conf(5) has no way to write a line break in a path, nor have its patterns.
  const told = [set.path, ...set.exclude, ...(set.rendered ?? []).map(({ to }) => to)];
  // What may come in is told to rsync as what may not.
  if (!host.system.real || set.include || told.some((text) => text.includes('\n'))) return false;
  if (!isInstalled('rsync')) return false;
  const folder = placeIn(baseOf(host, set), BULK_FOLDER);
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(folder, { mode: 0o700 });
  writeState(host.root, bulkExcludes, excludesOf(set));
  writeState(host.root, paths.bulkConfig, bulkConfig(set));
  return true;
}

/** Lets no rsync in, and removes what one that died has left half-written. */
export function shutBulk({ host }: Agent, { set }: LiveSet): void {
  removeIfThere(host.root, paths.bulkConfig);
  removeIfThere(host.root, bulkExcludes);
  fs.rmSync(placeIn(baseOf(host, set), BULK_FOLDER), { recursive: true, force: true });
}

/**
 * The session that let rsync in is gone: nobody comes in any more. What came is no edit of somebody here, and waits for the
 * next session to be compared.
 */
export function lockBulk({ host }: Agent): void {
  if (isThere(host.root, paths.bulkConfig)) writeState(host.root, paths.bulkConfig, '# no data set\n');
}

/** Has the disk keep up while rsync brings files; at the end little is left to write. @returns ends it */
export function keepWriting({ host }: Agent, live: LiveSet): () => Promise<void> {
  if (!host.system.real) return async () => {};
  const stop = new AbortController();
  const write = async (): Promise<void> => {
    while (!stop.signal.aborted) {
      await sleep(1_000, undefined, { signal: stop.signal }).catch(() => {});
      // What it could not write, the last one tells.
      if (!stop.signal.aborted) await syncAll(host, live).catch(() => {});
    }
  };
  const done = write();
  return () => {
    stop.abort();
    return done;
  };
}

/** Lets rsync out again; everything that it brought is on disk when this returns. */
export async function closeBulk(agent: Agent, live: LiveSet): Promise<void> {
  shutBulk(agent, live);
  if (agent.host.system.real) await syncAll(agent.host, live);
}

/** Writes all of the file system to the disk. (syncfs(2)) */
const syncAll = (host: Host, { set }: LiveSet): Promise<unknown> =>
  runOrFail(['sync', '--file-system', at(host.root, set.path)], { timeout: 600_000 });

/** True while rsync may come in. */
export const isBulkOpen = ({ host }: Agent): boolean => isThere(host.root, paths.bulkConfig);

/**
 * Takes files that rsync brought as agreed on, with their owners by name, where size and time are those that were sent.
 * @returns the paths that were taken
 */
export function takeFiles(
  agent: Agent,
  { tree }: LiveSet,
  owners: Pick<Accounts, 'uid' | 'gid'>,
  files: readonly TakenFile[],
): string[] {
  let folder: string | undefined;
  let held: Held | undefined;
  try {
    return files.flatMap((file) => {
      const { path } = file;
      if (!held || folderOf(path) !== folder) {
        if (held) fs.closeSync(held.handle);
        held = undefined;
        held = holdPlace(tree, path);
        folder = folderOf(path);
      }
      const stamp = takeFile(agent, owners, placeBeside(held, tree, path), file);
      if (stamp === undefined) return [];
      setHere(tree, path, nameOf(tree, path), file.sign, stamp);
      tree.agreed.set(path, { sign: file.sign, stamp });
      return [path];
    });
  } finally {
    if (held) fs.closeSync(held.handle);
  }
}

/** @returns the stamp of the file that was taken; undefined where it is not the one that was sent */
function takeFile(
  { host }: Agent,
  owners: Pick<Accounts, 'uid' | 'gid'>,
  place: Buffer,
  { owner, group, mode, mtimeMs, size }: TakenFile,
): string | undefined {
  // A second name of it may lie elsewhere: that one keeps its owner and mode.
  const isSent = (stat: fs.Stats): boolean =>
    stat.isFile() && stat.nlink === 1 && stat.size === size && mtimeOf(stat) === mtimeMs;
  const found = orGone(() => fs.lstatSync(place));
  if (!found || !isSent(found)) return undefined;
  const [uid, gid] = host.root.ownersCount ? [owners.uid(owner), owners.gid(group)] : [found.uid, found.gid];
  if (found.uid === uid && found.gid === gid && (found.mode & 0o7777) === mode) return stampOf(found);
  // By handle: nothing that takes the file's place meanwhile gets its owner and mode.
  const file = orGone(() => fs.openSync(place, READ_ONLY));
  if (file === undefined) return undefined;
  try {
    if (!isSent(fs.fstatSync(file))) return undefined;
    fs.fchownSync(file, uid, gid);
    fs.fchmodSync(file, mode);
    return stampOf(fs.fstatSync(file));
  } finally {
    fs.closeSync(file);
  }
}
