import { createHash } from 'node:crypto';
import type * as fs from 'node:fs';
import type { Host } from '../host/system.ts';
import type { IsRenamed } from './accounts.ts';
import type { AgreedIndex } from './agreed.ts';
import { carriedBy, type DataSet } from './entry.ts';
import { type HardLinks, makeHardLinks, noteLink } from './hard-links.ts';
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
  /** Names whose removal was sent within the last minute, by path in the order of time; for the guard. */
  readonly removed: Map<string, { readonly at: number; isLoss: boolean }>;
  /** Names that came within the last seconds, and have made up for no removal yet; by path in the order of time. */
  readonly arrived: Map<string, number>;
  /** Names that the other server did not take when they were sent last; for the guard. */
  readonly refused: Set<string>;
  /** False until the other server has told once what it has. */
  compared: boolean;
  /** True where what the other server has may not be what is known of it: something failed half-way. */
  uncertain: boolean;
  /** While everything is looked at: files that are not as before, for the names of their owners; undefined: none. */
  isRenamed: IsRenamed | undefined;
  readonly links: HardLinks;
  /** Names of which the other server had a version, after a boot here, that is neither ours nor one that we remember. */
  unheardOf: readonly string[];
  /** Paths here that are too long for any call; each is left out, and told. */
  readonly tooLong: Set<string>;
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
  removed: new Map(),
  arrived: new Map(),
  refused: new Set(),
  compared: false,
  uncertain: false,
  isRenamed: undefined,
  links: makeHardLinks(),
  unheardOf: [],
  tooLong: new Set(),
  round: 0,
  digests: new Map(),
  stale: new Set(),
});

/** Differs as soon as anything of a file changed; cheap to make for a hundred thousand names. */
export const stampOf = ({ ino, size, mtimeMs, ctimeMs }: fs.Stats): string => `${ino}:${size}:${mtimeMs}:${ctimeMs}`;

/** The stamp of what will not change again under the same stamp; empty for what may. */
export const steady = (stat: fs.Stats): string => (Date.now() - stat.ctimeMs > TICK ? stampOf(stat) : '');

// The kernel's stamps are as coarse as its ticks: what was written this moment may change again under the same stamp.
const TICK = 50;

export const nameOf = (tree: Tree, path: string): Name => tree.names.make(path);

/** What was agreed on of a file that has not been touched since. */
export function agreedAs({ agreed }: Tree, path: string, stamp: string): { readonly sign: string } | undefined {
  const known = agreed.get(path);
  return known?.stamp === stamp ? known : undefined;
}

/**
 * Notes of a file that it is still the version that was agreed on, though its owner is called otherwise now. The server
 * that sends has yet to tell the other one, and reads it again until it has.
 */
export function agreeAnew(tree: Tree, path: string, sign: string, stat: fs.Stats): void {
  const stamp = stampOf(stat);
  const known = agreedAs(tree, path, stamp);
  if (!known || !tree.isRenamed?.(stat)) return;
  tree.agreed.set(path, tree.lazy ? { sign: known.sign, stamp: '' } : { sign, stamp });
}

/** Notes what stands here under a name; undefined: nothing. */
export function setHere(tree: Tree, path: string, name: Name, sign: string | undefined, stamp: string): void {
  if (name.here !== sign) tree.stale.add(folderOf(path));
  if (name.stamp !== stamp) {
    tree.agreed.unsettle(folderOf(path));
    name.found = '';
  }
  name.here = sign;
  name.stamp = stamp;
  name.round = tree.round;
}

/** Forgets names that are neither here nor there. */
export function forgetIfGone(tree: Tree, path: string): void {
  const name = tree.names.get(path);
  if (name && name.here === undefined && name.there === undefined) tree.names.delete(path);
}

export function vanish(tree: Tree, path: string): void {
  const name = tree.names.get(path);
  if (!name) return;
  noteLink(tree, path, undefined);
  setHere(tree, path, name, undefined, '');
  forgetIfGone(tree, path);
}

/** The names below a folder that are here. */
export const namesBelow = ({ names }: Tree, folder: string): Set<string> =>
  new Set(names.below(folder).filter((path) => names.get(path)?.here !== undefined));

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

/** Notes that the other server has of a name what is here. @param told what is here no longer, unless it is this one */
export function agreeHere({ agreed, names }: Tree, path: string, told?: string): void {
  const name = names.get(path);
  if (name?.here !== undefined && (told ?? name.here) === name.here)
    agreed.set(path, { sign: name.here, stamp: name.stamp });
}
