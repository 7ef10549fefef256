import type * as fs from 'node:fs';
import { CmsadmError } from '../errors.ts';
import { type Root, readText } from '../host/root.ts';

/** Names and numbers of a server's users and groups, read once for many files. */
export type Accounts = {
  owner(uid: number): string;
  group(gid: number): string;
  /** @throws CmsadmError account-unknown */
  uid(owner: string): number;
  /** @throws CmsadmError account-unknown */
  gid(group: string): number;
  /** All numbers and their names as `renamedSince` takes them, one character per byte. */
  text(): string;
};

/** Tells of a file whether its owner or group is not called what it was when everything was looked at last. */
export type IsRenamed = (stat: Pick<fs.Stats, 'uid' | 'gid'>) => boolean;

function idsIn(root: Root, file: string): Map<string, number> {
  const rows = (readText(root, file) ?? 'root:x:0').split('\n').map((line) => line.split(':'));
  return new Map(rows.flatMap(([name, , id]) => (name && id && /^\d+$/.test(id) ? [[name, Number(id)] as const] : [])));
}

// The first of two names with one number is the one that is shown (getpwuid(3)).
const namesOf = (ids: Map<string, number>): Map<number, string> =>
  new Map([...ids].reverse().map(([name, id]) => [id, name]));

const linesOf = (kind: 'u' | 'g', names: ReadonlyMap<number, string>): string[] =>
  [...names].map(([id, name]) => `${kind}:${id}:${name}`);

/** The accounts of passwd(5) and group(5) below a root. In a rehearsal everything is root's. */
export function readAccounts(root: Root): Accounts {
  if (!root.ownersCount)
    return { owner: () => 'root', group: () => 'root', uid: () => 0, gid: () => 0, text: () => '' };
  const users = idsIn(root, '/etc/passwd');
  const groups = idsIn(root, '/etc/group');
  const userNames = namesOf(users);
  const groupNames = namesOf(groups);
  const idOf = (ids: Map<string, number>, name: string, file: string): number => {
    const id = ids.get(name) ?? (/^\d+$/.test(name) ? Number(name) : undefined);
    if (id !== undefined) return id;
    throw new CmsadmError('account-unknown', `There is no account "${name}" in ${file}.`, {
      file,
      remedy: 'Make the account there, with the same name as on the other server.',
    });
  };
  return {
    owner: (uid) => userNames.get(uid) ?? String(uid),
    group: (gid) => groupNames.get(gid) ?? String(gid),
    uid: (owner) => idOf(users, owner, '/etc/passwd'),
    gid: (group) => idOf(groups, group, '/etc/group'),
    text: () => Buffer.from([...linesOf('u', userNames), ...linesOf('g', groupNames)].join('\n')).toString('latin1'),
  };
}

/**
 * Compares accounts with those that were remembered.
 * @param before what `text` told then; undefined if nothing is known of then
 * @returns undefined if every number has the name that it had
 */
export function renamedSince(before: string | undefined, now: Accounts): IsRenamed | undefined {
  const text = now.text();
  if (before === undefined || before === text) return undefined;
  const [then, today] = [new Set(before.split('\n')), new Set(text.split('\n'))];
  const differing = [...then, ...today].filter((line) => !(then.has(line) && today.has(line)));
  const numbers = new Set(differing.map((line) => line.slice(0, line.lastIndexOf(':'))));
  return ({ uid, gid }) => numbers.has(`u:${uid}`) || numbers.has(`g:${gid}`);
}
