import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { describe, expect, it, onTestFinished } from 'vitest';
import { readAccounts } from '../../src/agent/accounts.ts';
import { takeChanges } from '../../src/agent/commit.ts';
import { readConflicts } from '../../src/agent/conflicts.ts';
import { entryAt } from '../../src/agent/data-set.ts';
import { besides } from '../../src/agent/hard-links.ts';
import { openLiveSet } from '../../src/agent/live-set.ts';
import { makeWriter } from '../../src/agent/place.ts';
import type { Host } from '../../src/host/system.ts';
import { idleAgent, replaceCalls } from './faults.ts';
import { kept, pass, placeOf, profile, tree, twoServers, write } from './two-servers.ts';

const link = (host: Host, from: string, to: string): void => fs.linkSync(placeOf(host, from), placeOf(host, to));

/** The names of a server that are names of one file, in groups. */
function groups(host: Host): string[][] {
  const found = new Map<number, string[]>();
  for (const path of Object.keys(tree(host))) {
    const stat = fs.lstatSync(placeOf(host, path));
    if (stat.isFile()) found.set(stat.ino, [...(found.get(stat.ino) ?? []), path]);
  }
  return [...found.values()].map((paths) => paths.sort()).sort();
}

const linked = (): { one: Host; two: Host } => {
  const { one, two } = twoServers();
  write(one, 'f/a', 'text');
  write(one, 'b', 'other');
  link(one, 'f/a', 'g');
  link(one, 'f/a', 'f/z');
  return { one, two };
};

/** Meanwhile m2 seems to be another file system than m1, with the same inodes, as a snapshot has them. */
async function whileMounted(host: Host, work: () => Promise<void>): Promise<void> {
  const { lstatSync } = fs;
  const { ino } = lstatSync(placeOf(host, 'm1/f'));
  const asMounted = (place: fs.PathLike): fs.Stats => {
    const stat = lstatSync(place);
    return place.toString().includes('/one/admin/m2/') ? Object.assign(stat, { dev: stat.dev + 1, ino }) : stat;
  };
  Object.assign(fs, { lstatSync: asMounted });
  syncBuiltinESMExports();
  try {
    await work();
  } finally {
    Object.assign(fs, { lstatSync });
    syncBuiltinESMExports();
  }
}

describe('two files with one inode number, on two file systems', () => {
  it('are two files, each with its own names', async () => {
    const { one, two } = twoServers();
    for (const folder of ['m1', 'm2']) {
      write(one, `${folder}/f`, `of ${folder}`);
      link(one, `${folder}/f`, `${folder}/g`);
    }
    await whileMounted(one, async () => {
      await pass(one, two);
      expect(tree(two)).toEqual(tree(one));
      expect(groups(two)).toEqual([
        ['m1/f', 'm1/g'],
        ['m2/f', 'm2/g'],
      ]);
      fs.writeFileSync(placeOf(one, 'm2/f'), 'changed');
      await pass(one, two);
      expect(tree(two)).toEqual(tree(one));
    });
  });

  it('stay apart when one of them gets a second name', async () => {
    const { one } = twoServers();
    for (const folder of ['m1', 'm2']) write(one, `${folder}/f`, `of ${folder}`);
    const [set] = profile.dataSets;
    if (!set) throw new Error('the profile has no data set');
    const live = openLiveSet(one, set, () => {});
    onTestFinished(live.close);
    await whileMounted(one, async () => {
      await live.lookAll();
      await new Promise((resolve) => setTimeout(resolve, 100));
      await live.lookAll();
      const signs = (): (string | undefined)[] => ['m1/f', 'm2/f'].map((path) => live.tree.names.get(path)?.here);
      const before = signs();
      link(one, 'm2/f', 'm2/g');
      await live.lookAt('m2/g');
      expect(besides(live.tree, 'm2/g')).toEqual(['m2/f']);
      // The first name of a file is carried as before.
      expect(signs()).toEqual(before);
    });
  });
});

describe('two names of one file', () => {
  it('arrive as two names of one file, and are then in step', async () => {
    const { one, two } = linked();
    expect(await pass(one, two)).toMatchObject({ sent: 5, problems: [] });
    expect(groups(two)).toEqual([['b'], ['f/a', 'f/z', 'g']]);
    expect(tree(two)).toEqual(tree(one));
    expect(await pass(one, two)).toMatchObject({ sent: 0, removed: 0 });
  });

  it('become so when a name is made, and files of their own when they are separated', async () => {
    const { one, two } = twoServers();
    write(one, 'a', 'text');
    write(one, 'b', 'text');
    await pass(one, two);
    expect(groups(two)).toEqual([['a'], ['b']]);
    fs.rmSync(placeOf(one, 'b'));
    link(one, 'a', 'b');
    await pass(one, two);
    expect(groups(two)).toEqual([['a', 'b']]);
    fs.copyFileSync(placeOf(one, 'b'), placeOf(one, 'c'));
    fs.renameSync(placeOf(one, 'c'), placeOf(one, 'b'));
    await pass(one, two);
    expect(groups(two)).toEqual([['a'], ['b']]);
    expect(await pass(one, two)).toMatchObject({ sent: 0 });
  });

  it('change together, and stay together', async () => {
    const { one, two } = linked();
    await pass(one, two);
    fs.appendFileSync(placeOf(one, 'g'), ' and more');
    await pass(one, two);
    expect(tree(two)).toMatchObject({ 'f/a': 'text and more', 'f/z': 'text and more', g: 'text and more' });
    expect(groups(two)).toEqual([['b'], ['f/a', 'f/z', 'g']]);
    expect(await pass(one, two)).toMatchObject({ sent: 0 });
  });

  it.each([
    ['the first name is removed', (one: Host) => fs.rmSync(placeOf(one, 'f/a')), [['b'], ['f/z', 'g']]],
    ['another name is removed', (one: Host) => fs.rmSync(placeOf(one, 'g')), [['b'], ['f/a', 'f/z']]],
    [
      'the first name is renamed',
      (one: Host) => fs.renameSync(placeOf(one, 'f/a'), placeOf(one, 'x')),
      [['b'], ['f/z', 'g', 'x']],
    ],
    ['one comes before the first', (one: Host) => link(one, 'f/a', 'a'), [['a', 'f/a', 'f/z', 'g'], ['b']]],
  ])('follow when %s', async (_name, change, expected) => {
    const { one, two } = linked();
    await pass(one, two);
    change(one);
    expect(await pass(one, two)).toMatchObject({ problems: [] });
    expect(groups(two)).toEqual(expected);
    expect(tree(two)).toEqual(tree(one));
    expect(await pass(one, two)).toMatchObject({ sent: 0, removed: 0 });
  });

  it('keep what they replace', async () => {
    const { one, two } = linked();
    write(two, 'g', 'of the other server');
    await pass(one, two);
    expect(groups(two)).toEqual([['b'], ['f/a', 'f/z', 'g']]);
    expect(kept(two)).toEqual([['g', 'of the other server']]);
  });

  it('arrive as files of their own where they can’t be names of one', async () => {
    const { one, two } = linked();
    // What is sent first does not get there.
    write(two, 'f/a/local.log', 'not carried');
    const result = await pass(one, two);
    expect(result.problems).toEqual([expect.stringContaining('f/a')]);
    expect(tree(two)).toMatchObject({ g: 'text', 'f/z': 'text' });
  });

  it('with a name outside the data set are files as all others', async () => {
    const { one, two } = twoServers();
    write(one, 'a', 'text');
    fs.linkSync(placeOf(one, 'a'), `${one.root.prefix}/outside`);
    await pass(one, two);
    expect(tree(two)).toEqual({ a: 'text' });
    expect(await pass(one, two)).toMatchObject({ sent: 0 });
  });
});

describe('what somebody writes into a file while its names come and go', () => {
  /** Both servers have one file under `names`; the second takes what it is told to, and `may` is called while it does. */
  async function taking(names: readonly string[], may: (two: Host) => void = () => {}) {
    const { one, two } = twoServers();
    write(one, 'a', 'agreed');
    for (const name of names.slice(1)) link(one, 'a', name);
    await pass(one, two);
    const agent = idleAgent(two, profile);
    const live = agent.sets.get('admin');
    if (!live) throw new Error('no such data set');
    await live.lookAll();
    const place = placeOf(two, 'a');
    const entry = await entryAt({ path: 'a', place, stat: fs.lstatSync(place) }, readAccounts(two.root));
    if (entry?.type !== 'file') throw new Error('no such file');
    const taker = { agent, live, writer: makeWriter(two), may: () => may(two) };
    const takeFurther = () =>
      takeChanges(taker, [{ kind: 'put', seq: 1, entry: { ...entry, path: 'b', same: 'a' }, data: '' }]);
    const removeFirst = () => takeChanges(taker, [{ kind: 'remove', seq: 1, path: 'a' }]);
    const isAgreed = async (path: string): Promise<boolean> => {
      await live.lookAt(path);
      return live.tree.agreed.isKnown(path, live.tree.names.get(path)?.here);
    };
    return { one, two, takeFurther, removeFirst, isAgreed };
  }
  const edit = (host: Host, path: string): void => fs.appendFileSync(placeOf(host, path), ', and typed here');

  it('is nothing where nobody writes', async () => {
    const { two, takeFurther, isAgreed } = await taking(['a']);
    expect(await takeFurther()).toEqual([true]);
    expect(groups(two)).toEqual([['a', 'b']]);
    expect([await isAgreed('a'), await isAgreed('b')]).toEqual([true, true]);
  });

  it('is an edit before a further name is put in its place, which then is sent with its content', async () => {
    const { one, two, takeFurther, isAgreed } = await taking(['a'], (host) => edit(host, 'a'));
    expect(await takeFurther()).toMatchObject([{ code: 'link-refused' }]);
    expect(await isAgreed('a')).toBe(false);
    link(one, 'a', 'b');
    await pass(one, two);
    expect(tree(two)).toEqual({ a: 'agreed', b: 'agreed' });
    expect(kept(two)).toEqual([['a', 'agreed, and typed here']]);
    expect(readConflicts(two)).toMatchObject([{ path: 'a' }]);
  });

  it.each(['linkSync', 'renameSync'] as const)('is an edit right after the %s of a further name', async (name) => {
    const { two, takeFurther, isAgreed } = await taking(['a']);
    const call = fs[name];
    replaceCalls({
      [name]: (from: fs.PathLike, to: fs.PathLike) => {
        call(from, to);
        edit(two, 'a');
      },
    });
    await takeFurther();
    expect(await isAgreed('a')).toBe(false);
  });

  it('is an edit right after another name was removed', async () => {
    const { two, removeFirst, isAgreed } = await taking(['a', 'b']);
    const { unlinkSync } = fs;
    replaceCalls({
      unlinkSync: (place) => {
        unlinkSync(place);
        edit(two, 'b');
      },
    });
    expect(await removeFirst()).toEqual([true]);
    expect(await isAgreed('b')).toBe(false);
  });
});
