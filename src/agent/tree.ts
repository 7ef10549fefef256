import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { setImmediate as breathe } from 'node:timers/promises';
import type { Host } from '../host/system.ts';
import { type Accounts, readAccounts } from './accounts.ts';
import type { AgreedIndex } from './agreed.ts';
import { baseOf, entryAt, isSystemError, orGone, type Place, placeIn, unreadable, walk } from './data-set.ts';
import { carriedBy, type DataSet, isFolderSign, signOf } from './entry.ts';
import { folderOf, makeNames, type Name, type Names } from './names.ts';

/** One data set as it stands on this server: signs by path, kept up to date by looking. */
export type Tree = {
  readonly host: Host;
  readonly set: DataSet;
  readonly carried: (path: string) => boolean;
  readonly names: Names;
  readonly agreed: AgreedIndex;
  /** True where a new file need not be read before it is sent: its sign is provisional until then. */
  lazy: boolean;
  /** When how many names were removed on the other server; for the guard. */
  readonly removed: { readonly at: number; readonly count: number }[];
  /** Looks at everything so far. */
  round: number;
  /** Digests of folders, and the folders whose digest is out of date. */
  readonly digests: Map<string, string>;
  readonly stale: Set<string>;
};

/** The sign of a file that was not read yet, with its stamp; no other server has such a sign. */
const PROVISIONAL = 'f~';
export const provisionalSign = (stamp: string): string => `${PROVISIONAL}${stamp}`;
export const isProvisional = (sign: string | undefined): boolean => sign?.startsWith(PROVISIONAL) ?? false;

export const makeTree = (host: Host, set: DataSet, agreed: AgreedIndex): Tree => ({
  host,
  set,
  carried: carriedBy(set),
  names: makeNames(),
  agreed,
  lazy: false,
  removed: [],
  round: 0,
  digests: new Map(),
  stale: new Set(),
});

/** Called with every folder that is looked into, before its names are read: a watch set there misses nothing. */
export type OnFolder = (path: string, place: Place, stat: fs.Stats) => void;

/** Differs as soon as anything of a file changed; cheap to make for a hundred thousand names. */
export const stampOf = ({ ino, size, mtimeMs, ctimeMs }: fs.Stats): string => `${ino}:${size}:${mtimeMs}:${ctimeMs}`;

/** The stamp of what will not change again under the same stamp; empty for what may. */
export const steady = (stat: fs.Stats): string => (Date.now() - stat.ctimeMs > TICK ? stampOf(stat) : '');

// The kernel's stamps are as coarse as its ticks: what was written this moment may change again under the same stamp.
const TICK = 50;

export const nameOf = (tree: Tree, path: string): Name => tree.names.make(path);

/** Notes what stands here under a name; undefined: nothing. */
export function setHere(tree: Tree, path: string, name: Name, sign: string | undefined, stamp: string): void {
  if (name.here !== sign) tree.stale.add(folderOf(path));
  if (name.stamp !== stamp) tree.agreed.unsettle(folderOf(path));
  name.here = sign;
  name.stamp = stamp;
  name.round = tree.round;
}

/** Forgets names that are neither here nor there. */
export function forgetIfGone(tree: Tree, path: string): void {
  const name = tree.names.get(path);
  if (name && name.here === undefined && name.there === undefined) tree.names.delete(path);
}

/**
 * Looks at the whole data set.
 * @param step called now and then with the number of names seen
 * @throws CmsadmError data-set-missing, data-set-unreadable
 */
export async function lookAll(tree: Tree, onFolder: OnFolder, step: (seen: number) => void = () => {}): Promise<void> {
  tree.round += 1;
  await lookBelow(tree, '', onFolder, (_path, seen) => {
    if (seen % 500 === 0) step(seen);
  });
  for (const [path, name] of tree.names) if (name.here !== undefined && name.round !== tree.round) vanish(tree, path);
}

/**
 * Looks at some names, and at everything below those that became folders or stopped being one.
 * @throws CmsadmError data-set-missing, data-set-unreadable
 */
export async function lookAt(tree: Tree, paths: Iterable<string>, onFolder: OnFolder): Promise<ReadonlySet<string>> {
  const base = baseOf(tree.host, tree.set);
  const accounts = readAccounts(tree.host.root);
  const seen = new Set<string>();
  for (const path of paths) {
    // An event of its own, and already met below a folder that had one.
    if (seen.has(path)) continue;
    const place = placeIn(base, path);
    const stat = reading(tree, () => orGone(() => fs.lstatSync(place)));
    const wasFolder = isFolderSign(tree.names.get(path)?.here);
    seen.add(path);
    if (wasFolder && !stat?.isDirectory()) for (const below of vanishBelow(tree, path)) seen.add(below);
    if (!stat) vanish(tree, path);
    else {
      await lookAtOne(tree, path, place, stat, accounts);
      if (stat.isDirectory() && path !== '') {
        const gone = wasFolder ? namesBelow(tree, path) : new Set<string>();
        await lookBelow(tree, path, onFolder, (below) => {
          gone.delete(below);
          seen.add(below);
        });
        for (const below of gone) {
          vanish(tree, below);
          seen.add(below);
        }
      }
    }
  }
  return seen;
}

async function lookBelow(
  tree: Tree,
  folder: string,
  onFolder: OnFolder,
  told: (path: string, seen: number) => void,
): Promise<void> {
  const base = baseOf(tree.host, tree.set);
  const accounts = readAccounts(tree.host.root);
  let seen = 0;
  try {
    for (const { path, place, stat } of walk(base, tree.carried, onFolder, folder)) {
      seen += 1;
      if (seen % 500 === 0) await breathe();
      if (!isAsBefore(tree, path, stat)) await lookAtOne(tree, path, place, stat, accounts);
      told(path, seen);
    }
  } catch (cause) {
    throw isSystemError(cause) ? unreadable(tree.set, cause) : cause;
  }
}

function reading<T>(tree: Tree, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw isSystemError(cause) ? unreadable(tree.set, cause) : cause;
  }
}

/** True for a name whose stamp is the one that is known. */
function isAsBefore(tree: Tree, path: string, stat: fs.Stats): boolean {
  const name = tree.names.get(path);
  if (name?.here === undefined || name.stamp !== stampOf(stat)) return false;
  // Where the other server has it too, it must be read.
  if (isProvisional(name.here) && !(tree.lazy && name.there === undefined)) return false;
  name.round = tree.round;
  return true;
}

/** Brings one name up to date; a file is read only if its stamp is new. */
async function lookAtOne(tree: Tree, path: string, place: Place, stat: fs.Stats, accounts: Accounts): Promise<void> {
  if (isAsBefore(tree, path, stat)) return;
  const name = nameOf(tree, path);
  const stamp = stampOf(stat);
  const agreed = tree.agreed.get(path);
  if (agreed?.stamp === stamp) return setHere(tree, path, name, agreed.sign, stamp);
  if (tree.lazy && name.there === undefined && stat.isFile())
    return setHere(tree, path, name, provisionalSign(stamp), stamp);
  const entry = await entryAt({ path, place, stat }, accounts);
  // It may have been replaced while it was read; who did so, or an event, tells what it is now.
  const now = orGone(() => fs.lstatSync(place));
  name.round = tree.round;
  if (!now || stampOf(now) !== stamp) return forgetIfGone(tree, path);
  setHere(tree, path, name, entry && signOf(entry), steady(stat));
  if (!entry) forgetIfGone(tree, path);
}

/** The folders that are no longer as they were looked at: one call for each folder, and none for its files. */
export function changedFolders({ host, set, names }: Tree): string[] {
  const base = baseOf(host, set);
  const found: string[] = [];
  for (const [path, { here, stamp }] of names) {
    if (!isFolderSign(here)) continue;
    const stat = orGone(() => fs.lstatSync(placeIn(base, path)));
    if (!stat || stampOf(stat) !== stamp) found.push(path);
  }
  return found;
}

function vanish(tree: Tree, path: string): void {
  const name = tree.names.get(path);
  if (!name) return;
  setHere(tree, path, name, undefined, '');
  forgetIfGone(tree, path);
}

const namesBelow = ({ names }: Tree, folder: string): Set<string> =>
  new Set(names.below(folder).filter((path) => names.get(path)?.here !== undefined));

function vanishBelow(tree: Tree, folder: string): Set<string> {
  const found = namesBelow(tree, folder);
  for (const path of found) vanish(tree, path);
  return found;
}

/** One digest for each folder that holds anything here, over the names in it and their signs. */
export function digestsOf(tree: Tree): ReadonlyMap<string, string> {
  const { digests, stale } = tree;
  for (const folder of stale) {
    const start = folder === '' ? 0 : folder.length + 1;
    const all = namesIn(tree, [folder]).map(([path, sign]) => `${path.slice(start)}\0${sign}`);
    if (all.length === 0) digests.delete(folder);
    else
      digests.set(folder, createHash('sha256').update(all.sort().join('\0'), 'latin1').digest('base64').slice(0, 22));
  }
  stale.clear();
  return digests;
}

/** Names and signs directly in some folders, as they are here. */
export function namesIn({ names }: Tree, folders: Iterable<string>): [path: string, sign: string][] {
  const found: [string, string][] = [];
  for (const folder of folders)
    for (const path of names.within(folder)) {
      const here = names.get(path)?.here;
      if (here !== undefined) found.push([path, here]);
    }
  return found;
}

/** Notes that the other server has what is here in these folders; what was noted already costs nothing. */
export function agreeIn(tree: Tree, folders: Iterable<string>): void {
  const { agreed, names } = tree;
  const digests = digestsOf(tree);
  for (const folder of folders) {
    const digest = digests.get(folder);
    if (digest === undefined || agreed.isSettled(folder, digest)) continue;
    for (const path of names.within(folder)) agreeHere(tree, path);
    agreed.settle(folder, digest);
  }
}

/** Notes that the other server has of a name what is here. */
export function agreeHere({ agreed, names }: Tree, path: string): void {
  const name = names.get(path);
  if (name?.here !== undefined) agreed.set(path, { sign: name.here, stamp: name.stamp });
}
