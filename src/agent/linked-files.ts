import * as fs from 'node:fs';
import { type Accounts, readAccounts } from './accounts.ts';
import { baseOf, entryAt, isSystemError, orGone, placeIn, unreadable } from './data-set.ts';
import { linkSign, signOf } from './entry.ts';
import { type FileId, fileIdOf } from './hard-links.ts';
import {
  agreeAnew,
  agreedAs,
  forgetIfGone,
  isProvisional,
  nameOf,
  provisionalSign,
  setHere,
  stampOf,
  steady,
  type Tree,
} from './tree.ts';

/**
 * Gives the names of files that are not as before their signs; each file is read at most once. Names that had no other
 * when they were seen are searched.
 * @returns the names that were looked at
 * @throws CmsadmError data-set-missing, data-set-unreadable
 */
export async function lookAtLinks(tree: Tree): Promise<string[]> {
  if (tree.links.stale.size === 0) return [];
  try {
    return await lookAtStale(tree);
  } catch (cause) {
    throw isSystemError(cause) ? unreadable(tree.set, cause) : cause;
  }
}

async function lookAtStale(tree: Tree): Promise<string[]> {
  const { groups, files, stale } = tree.links;
  const accounts = readAccounts(tree.host.root);
  const base = baseOf(tree.host, tree.set);
  const statOf = (path: string): fs.Stats | undefined => orGone(() => fs.lstatSync(placeIn(base, path)));
  findOthers(tree, statOf);
  const looked: string[] = [];
  const staleNow = [...stale];
  stale.clear();
  for (const file of staleNow) {
    const members = [...(groups.get(file) ?? [])].sort();
    const stats = members.map((path) => ({ path, stat: statOf(path) }));
    const here = stats.flatMap(({ path, stat }) => (stat?.isFile() && fileIdOf(stat) === file ? [{ path, stat }] : []));
    looked.push(...members);
    await signGroup(tree, here, base, accounts);
    for (const { path, stat } of stats)
      if (!stat || fileIdOf(stat) !== file || stat.nlink < 2) {
        groups.get(file)?.delete(path);
        if (files.get(path) === file) files.delete(path);
      }
    if (groups.get(file)?.size === 0) groups.delete(file);
  }
  return looked;
}

type Member = { readonly path: string; readonly stat: fs.Stats };

async function signGroup(tree: Tree, members: readonly Member[], base: Buffer, accounts: Accounts): Promise<void> {
  const [first] = members;
  // What is read only when it is sent, stays so.
  const unread = ({ path, stat }: Member): boolean =>
    tree.lazy &&
    tree.names.get(path)?.there === undefined &&
    tree.names.get(path)?.here === provisionalSign(stampOf(stat));
  const wanted = members.filter((member) => !unread(member));
  if (!first || wanted.length === 0) return;
  // Before it is read, as with every file (look.ts).
  const known = wanted.map(({ path, stat }) => ({ path, stat, stamp: steady(stat) }));
  const sign = await signOfFirst(tree, first, placeIn(base, first.path), accounts);
  for (const { path, stat, stamp } of known) {
    if (sign === undefined) {
      forgetIfGone(tree, path);
      continue;
    }
    const own = path === first.path ? sign : linkSign(sign, first.path);
    setHere(tree, path, nameOf(tree, path), own, stamp);
    agreeAnew(tree, path, own, stat);
  }
}

/** The sign of a file under its first name; undefined if it changed while it was read: an event tells. */
async function signOfFirst(
  tree: Tree,
  { path, stat }: Member,
  place: Buffer,
  accounts: Accounts,
): Promise<string | undefined> {
  const stamp = stampOf(stat);
  const name = tree.names.get(path);
  if (!tree.isRenamed?.(stat)) {
    const agreed = agreedAs(tree, path, stamp);
    if (agreed) return agreed.sign;
    if (name?.stamp === stamp && name.here !== undefined && !isProvisional(name.here)) return name.here;
  }
  const entry = await entryAt({ path, place, stat }, accounts);
  const now = orGone(() => fs.lstatSync(place));
  return entry && now && stampOf(now) === stamp ? signOf(entry) : undefined;
}

/** Finds names of stale files that had no other name when they were seen: all names are asked, once. */
function findOthers({ links, names }: Tree, statOf: (path: string) => fs.Stats | undefined): void {
  const wanted = new Set<FileId>();
  const inodes = new Set<number>();
  for (const file of links.stale) {
    const group = links.groups.get(file);
    const [one] = group ?? [];
    if (!group || one === undefined || (statOf(one)?.nlink ?? 0) <= group.size) continue;
    wanted.add(file);
    inodes.add(inodeOf(file));
  }
  if (wanted.size === 0) return;
  for (const [path, { here, stamp }] of names) {
    if (here === undefined || !here.startsWith('f')) continue;
    // A file that was new when it was looked at has no stamp.
    if (stamp !== '' && !inodes.has(inodeOf(stamp))) continue;
    const stat = statOf(path);
    const file = stat && fileIdOf(stat);
    if (file === undefined || !wanted.has(file)) continue;
    links.groups.get(file)?.add(path);
    links.files.set(path, file);
  }
}

/** Stamps of files begin with it as well. */
const inodeOf = (text: string): number => Number.parseInt(text, 10);
