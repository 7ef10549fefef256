import * as fs from 'node:fs';
import { type Accounts, readAccounts } from './accounts.ts';
import { baseOf, entryAt, isSystemError, orGone, placeIn, unreadable } from './data-set.ts';
import { linkSign, signOf } from './entry.ts';
import { forgetIfGone, isProvisional, nameOf, provisionalSign, setHere, stampOf, steady, type Tree } from './tree.ts';

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
  const { groups, inodes, stale } = tree.links;
  const accounts = readAccounts(tree.host.root);
  const base = baseOf(tree.host, tree.set);
  const statOf = (path: string): fs.Stats | undefined => orGone(() => fs.lstatSync(placeIn(base, path)));
  findOthers(tree, statOf);
  const looked: string[] = [];
  const inodesNow = [...stale];
  stale.clear();
  for (const ino of inodesNow) {
    const members = [...(groups.get(ino) ?? [])].sort();
    const stats = members.map((path) => ({ path, stat: statOf(path) }));
    const here = stats.flatMap(({ path, stat }) => (stat?.isFile() && stat.ino === ino ? [{ path, stat }] : []));
    looked.push(...members);
    await signGroup(tree, here, base, accounts);
    for (const { path, stat } of stats)
      if (stat?.ino !== ino || stat.nlink < 2) {
        groups.get(ino)?.delete(path);
        if (inodes.get(path) === ino) inodes.delete(path);
      }
    if (groups.get(ino)?.size === 0) groups.delete(ino);
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
  const sign = await signOfFirst(tree, first, placeIn(base, first.path), accounts);
  for (const { path, stat } of wanted)
    if (sign === undefined) forgetIfGone(tree, path);
    else setHere(tree, path, nameOf(tree, path), path === first.path ? sign : linkSign(sign, first.path), steady(stat));
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
  const agreed = tree.agreed.get(path);
  if (agreed?.stamp === stamp) return agreed.sign;
  if (name?.stamp === stamp && name.here !== undefined && !isProvisional(name.here)) return name.here;
  const entry = await entryAt({ path, place, stat }, accounts);
  const now = orGone(() => fs.lstatSync(place));
  return entry && now && stampOf(now) === stamp ? signOf(entry) : undefined;
}

/** Finds names of stale files that had no other name when they were seen: all names are asked, once. */
function findOthers({ links, names }: Tree, statOf: (path: string) => fs.Stats | undefined): void {
  const wanted = new Set<number>();
  for (const ino of links.stale) {
    const group = links.groups.get(ino);
    const [one] = group ?? [];
    if (group && one !== undefined && (statOf(one)?.nlink ?? 0) > group.size) wanted.add(ino);
  }
  if (wanted.size === 0) return;
  for (const [path, { here, stamp }] of names) {
    if (here === undefined || !here.startsWith('f')) continue;
    // A file that was new when it was looked at has no stamp.
    const ino = stamp === '' ? statOf(path)?.ino : Number.parseInt(stamp, 10);
    if (ino === undefined || !wanted.has(ino)) continue;
    links.groups.get(ino)?.add(path);
    links.inodes.set(path, ino);
  }
}
