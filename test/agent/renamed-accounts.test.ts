import * as fs from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { type Accounts, readAccounts, renamedSince } from '../../src/agent/accounts.ts';
import { readConflicts } from '../../src/agent/conflicts.ts';
import { type LiveSet, openLiveSet } from '../../src/agent/live-set.ts';
import { isProvisional } from '../../src/agent/tree.ts';
import type { Host } from '../../src/host/system.ts';
import { pass, placeOf, profile, twoServers, write } from './two-servers.ts';

const [set] = profile.dataSets;
if (!set) throw new Error('the profile has no data set');
const me = { uid: process.getuid?.() ?? 0, gid: process.getgid?.() ?? 0 };
const isRoot = me.uid === 0;

type Names = { readonly users?: Readonly<Record<string, number>>; readonly groups?: Readonly<Record<string, number>> };

/** A server whose accounts are these: owners count on it. */
function withAccounts(host: Host, { users = {}, groups = {} }: Names): Host {
  const etc = join(host.root.prefix, 'etc');
  fs.mkdirSync(etc, { recursive: true });
  const lines = (all: Readonly<Record<string, number>>): string =>
    Object.entries(all)
      .map(([name, id]) => `${name}:x:${id}:\n`)
      .join('');
  fs.writeFileSync(join(etc, 'passwd'), lines(users));
  fs.writeFileSync(join(etc, 'group'), lines(groups));
  return { ...host, root: { ...host.root, ownersCount: true } };
}

const opened: LiveSet[] = [];
afterEach(() => {
  for (const one of opened.splice(0)) one.close();
});

function open(host: Host): LiveSet {
  const one = openLiveSet(host, set as NonNullable<typeof set>, () => {});
  opened.push(one);
  return one;
}

const signs = ({ tree }: LiveSet): Record<string, string | undefined> =>
  Object.fromEntries([...tree.names].map(([path, { here }]) => [path, here]).sort());

/** What a server has that knows nothing yet: every file is read. */
async function truth(host: Host): Promise<Record<string, string | undefined>> {
  const index = join(host.root.prefix, 'var/lib/cmsadm/sync', `${set?.name}.index`);
  const isThere = fs.existsSync(index);
  if (isThere) fs.renameSync(index, `${index}.away`);
  const fresh = open(host);
  await fresh.lookAll();
  if (isThere) fs.renameSync(`${index}.away`, index);
  return signs(fresh);
}

describe('accounts that are compared with those before', () => {
  const before = { users: { root: 0, cms: 700 }, groups: { root: 0, cms: 701 } };
  const cases: [what: string, now: Names, renamed: string[]][] = [
    ['nothing', before, []],
    ['another order', { users: { cms: 700, root: 0 }, groups: before.groups }, []],
    ['a new account', { ...before, users: { ...before.users, ops: 800 } }, ['u800']],
    ['an account that is gone', { ...before, users: { root: 0 } }, ['u700']],
    ['another name', { ...before, users: { root: 0, cmsvc: 700 } }, ['u700']],
    ['another number', { ...before, users: { root: 0, cms: 800 } }, ['u700', 'u800']],
    ['a second name behind the first', { ...before, users: { ...before.users, alias: 700 } }, []],
    ['a group', { ...before, groups: { root: 0, users: 701 } }, ['g701']],
    ['bytes of no known name', { ...before, users: { ...before.users, zoë: 5 } }, ['u5']],
  ];
  it.each(cases)('%s', (_what, now, renamed) => {
    const of = (names: Names): Accounts => readAccounts(withAccounts(twoServers().one, names).root);
    const isRenamed = renamedSince(of(before).text(), of(now)) ?? (() => false);
    const found = [0, 5, 700, 701, 800].flatMap((id) => [
      ...(isRenamed({ uid: id, gid: 9 }) ? [`u${id}`] : []),
      ...(isRenamed({ uid: 9, gid: id }) ? [`g${id}`] : []),
    ]);
    expect(found).toEqual(renamed);
  });

  it('are not, where nothing is known of then', () => {
    expect(renamedSince(undefined, readAccounts(withAccounts(twoServers().one, before).root))).toBeUndefined();
  });
});

const named = { users: { cms: me.uid }, groups: { cms: me.gid } };
const renamed = { users: { cmsvc: me.uid }, groups: { cms: me.gid } };

it('a file whose owner is called otherwise now is read anew with the next look at everything', async () => {
  const one = withAccounts(twoServers().one, named);
  write(one, 'a', 'a');
  const live = open(one);
  await live.lookAll();
  await sleep(100);
  await live.lookAll();
  const before = signs(live);
  withAccounts(one, renamed);
  await live.lookAll();
  expect(signs(live)).not.toEqual(before);
  expect(signs(live)).toEqual(await truth(one));
});

// Whoever gives files to others is root.
describe.runIf(isRoot)('a file whose owner is called otherwise now, between two servers', () => {
  /** Both servers have the same; long enough for stamps to be trusted. */
  async function inStep(): Promise<{ here: Host; there: Host }> {
    const { one, two } = twoServers();
    const servers = { here: withAccounts(one, named), there: withAccounts(two, named) };
    for (const name of ['f/a', 'f/b']) write(one, name, name);
    fs.linkSync(placeOf(one, 'f/a'), placeOf(one, 'f/linked'));
    fs.symlinkSync('a', placeOf(one, 'f/link'));
    await sleep(100);
    await pass(servers.here, servers.there);
    await pass(servers.here, servers.there);
    return servers;
  }

  it.each([true, false])('is read anew, once, also after a restart (by the server that sends: %s)', async (lazy) => {
    const { here } = await inStep();
    const one = open(here);
    one.setLazy(lazy);
    await one.lookAll();
    const before = signs(one);
    withAccounts(here, renamed);
    await one.lookAll();
    const after = signs(one);
    for (const [path, sign] of Object.entries(before)) expect(after[path], path).not.toBe(sign);
    expect(after).toEqual(await truth(here));
    await one.lookAll();
    expect(signs(one)).toEqual(after);
    one.tree.agreed.flush();
    one.close();
    const again = open(here);
    again.setLazy(lazy);
    await again.lookAll();
    // What is yet to be sent may wait for its reading until then.
    const unread = (path: string): boolean => lazy && isProvisional(signs(again)[path]);
    expect(Object.keys(signs(again))).toEqual(Object.keys(after));
    for (const [path, sign] of Object.entries(after)) if (!unread(path)) expect(signs(again)[path], path).toBe(sign);
  });

  it('is no other one to a server that was not running meanwhile', async () => {
    const { here } = await inStep();
    const one = open(here);
    await one.lookAll();
    one.tree.agreed.flush();
    one.close();
    withAccounts(here, renamed);
    const again = open(here);
    await again.lookAll();
    expect(signs(again)).toEqual(await truth(here));
  });

  it('is told where the other server has no such account, and in step once it has', async () => {
    const { here, there } = await inStep();
    withAccounts(here, renamed);
    const result = await pass(here, there);
    expect(result).toMatchObject({ sent: 0, problems: expect.arrayContaining([expect.stringContaining('"cmsvc"')]) });
    withAccounts(there, renamed);
    expect(await pass(here, there)).toMatchObject({ sent: 0, removed: 0, problems: [] });
    expect(readConflicts(there)).toEqual([]);
  });

  it('gets the right number on the other server, and makes no conflict', async () => {
    const { one, two } = twoServers();
    const [here, there] = [withAccounts(one, {}), withAccounts(two, { users: { cms: 800 }, groups: { cms: 801 } })];
    for (const name of ['f/a', 'f/b']) write(one, name, name);
    fs.symlinkSync('a', placeOf(one, 'f/link'));
    const all = ['f', 'f/a', 'f/b', 'f/link'];
    for (const path of all) fs.lchownSync(placeOf(one, path), 700, 701);
    fs.linkSync(placeOf(one, 'f/a'), placeOf(one, 'f/linked'));
    const owners = (): string[] =>
      [...all, 'f/linked'].map((path) => fs.lstatSync(placeOf(two, path))).map(({ uid, gid }) => `${uid}:${gid}`);
    const each = (owner: string): string[] => [...all, 'f/linked'].map(() => owner);
    await sleep(100);
    await pass(here, there);
    expect(owners()).toEqual(each('700:701'));
    await pass(here, there);
    // The account is made.
    withAccounts(one, { users: { cms: 700 }, groups: { cms: 701 } });
    expect(await pass(here, there)).toMatchObject({ problems: [] });
    expect(owners()).toEqual(each('800:801'));
    // Linked files are trusted again once their stamps are old enough.
    await sleep(100);
    await pass(here, there);
    // On the other server it gets new numbers, which nobody told its files.
    withAccounts(two, { users: { cms: 900 }, groups: { cms: 901 } });
    expect(await pass(here, there)).toMatchObject({ problems: [] });
    expect(owners()).toEqual(each('900:901'));
    expect(await pass(here, there)).toMatchObject({ sent: 0 });
    expect(readConflicts(there)).toEqual([]);
  });
});
