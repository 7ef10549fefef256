import * as fs from 'node:fs';
import * as v from 'valibot';
import { run, runOrFail } from '../host/processes.ts';
import { at, isThere, removeIfThere, writeState } from '../host/root.ts';
import { paths } from '../pair/state.ts';
import type { Agent } from './agent.ts';
import { baseOf, mtimeOf, orGone, placeIn, READ_ONLY } from './data-set.ts';
import { BULK_FOLDER, type DataSet } from './entry.ts';
import type { LiveSet } from './live-set.ts';
import { holdPlace } from './place.ts';
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
  if (!host.system.real || told.some((text) => text.includes('\n'))) return false;
  if ((await run(['rsync', '--version'])).exitCode !== 0) return false;
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

/** Lets rsync out again; everything that it brought is on disk when this returns. (syncfs(2)) */
export async function closeBulk(agent: Agent, live: LiveSet): Promise<void> {
  const { host } = agent;
  const { set } = live;
  shutBulk(agent, live);
  if (host.system.real) await runOrFail(['sync', '--file-system', at(host.root, set.path)], { timeout: 600_000 });
}

/** True while rsync may come in. */
export const isBulkOpen = ({ host }: Agent): boolean => isThere(host.root, paths.bulkConfig);

/**
 * Takes files that rsync brought as agreed on, with their owners by name, where size and time are those that were sent.
 * @returns the paths that were taken
 */
export function takeFiles(
  { host }: Agent,
  { set, tree }: LiveSet,
  owners: Owners,
  files: readonly TakenFile[],
): string[] {
  return files.flatMap(({ path, owner, group, mode, mtimeMs, size, sign }) => {
    const held = holdPlace(host, set, path);
    // By handle: nothing that takes the file's place meanwhile gets its owner and mode.
    const file = orGone(() => fs.openSync(held.place, READ_ONLY));
    try {
      const stat = file === undefined ? undefined : fs.fstatSync(file);
      if (file === undefined || !stat?.isFile() || stat.size !== size || mtimeOf(stat) !== mtimeMs) return [];
      // A second name of it may lie elsewhere: that one keeps its owner and mode.
      if (stat.nlink !== 1) return [];
      if (host.root.ownersCount) fs.fchownSync(file, owners.uid(owner), owners.gid(group));
      fs.fchmodSync(file, mode);
      const stamp = stampOf(fs.fstatSync(file));
      setHere(tree, path, nameOf(tree, path), sign, stamp);
      tree.agreed.set(path, { sign, stamp });
      return [path];
    } finally {
      if (file !== undefined) fs.closeSync(file);
      fs.closeSync(held.handle);
    }
  });
}

type Owners = { uid(owner: string): number; gid(group: string): number };
