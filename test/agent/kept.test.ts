import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it, onTestFinished } from 'vitest';
import { readConflicts } from '../../src/agent/conflicts.ts';
import { sha256 } from '../../src/host/root.ts';
import type { Host } from '../../src/host/system.ts';
import { paths } from '../../src/pair/state.ts';
import { linkNotTo, replaceCalls } from './faults.ts';
import { kept, pairAt, pass, placeOf, savePair, tree, twoServers, verbsOf, write } from './two-servers.ts';

/** All that happens on this server happens within one second. */
const inOneSecond = (host: Host): Host => ({ ...host, system: { ...host.system, clock: () => 1_800_000_000_000 } });

describe('a kept copy', () => {
  it('does not leave through a link that was kept in the same second', async () => {
    const servers = twoServers();
    const [one, two] = [servers.one, inOneSecond(servers.two)];
    const outside = join(two.root.prefix, 'outside');
    fs.mkdirSync(outside);
    fs.symlinkSync(outside, placeOf(one, 'current'));
    await pass(one, two);
    fs.rmSync(placeOf(one, 'current'));
    write(one, 'current/deep/conf', 'first');
    await pass(one, two);
    write(one, 'current/deep/conf', 'the second');
    await pass(one, two);
    expect(fs.readdirSync(outside)).toEqual([]);
    expect(kept(two)).toEqual([
      ['current', `->${outside}`],
      ['current/deep/conf', 'first'],
    ]);
    expect(tree(two)).toMatchObject({ 'current/deep/conf': 'the second' });
  });
});

const removal = (epoch: number, ...names: string[]): object => ({
  epoch,
  set: 'admin',
  changes: names.map((path) => ({ kind: 'remove', seq: 1, path })),
});
const timesOfKeeping = (host: Host): string[] => {
  const folder = join(host.root.prefix, paths.kept, 'admin');
  return fs.existsSync(folder) ? fs.readdirSync(folder) : [];
};

describe('a change that could not be made', () => {
  it('leaves no copy of what it did not replace, and no conflict, however often it is tried', async () => {
    const { two } = twoServers();
    write(two, 'sub/a', 'of somebody here');
    const { verbs } = verbsOf(two);
    for (const epoch of [1, 2, 3]) {
      const answer = verbs['agentChanges']?.(removal(epoch, 'sub/a'));
      // The message was let in; what it would replace is kept, and on its way to the disk.
      savePair(two, pairAt(epoch + 1));
      await expect(answer).rejects.toMatchObject({ code: 'epoch-older' });
    }
    expect(readConflicts(two)).toEqual([]);
    expect(timesOfKeeping(two)).toEqual([]);
    expect(tree(two)).toEqual({ sub: '/', 'sub/a': 'of somebody here' });
    expect(await verbs['agentChanges']?.(removal(4, 'sub/a'))).toEqual([true]);
    expect(readConflicts(two)).toMatchObject([{ path: 'sub/a' }]);
    expect(kept(two)).toEqual([['sub/a', 'of somebody here']]);
  });

  it('leaves what others of the same message replaced, and a version that somebody removed meanwhile', async () => {
    const { one, two } = twoServers();
    for (const name of ['a', 'b']) {
      write(two, name, `${name} of somebody here`);
      write(one, name, `${name} of the primary`);
    }
    const { verbs } = verbsOf(two);
    const answer = verbs['agentChanges']?.({
      epoch: 1,
      set: 'admin',
      changes: ['a', 'b'].map((path) => ({
        kind: 'put',
        seq: 1,
        entry: { type: 'link', path, owner: 'root', group: 'root', target: 'of the primary' },
        data: '',
      })),
    });
    await new Promise((resolve) => setImmediate(resolve));
    fs.rmSync(placeOf(two, 'b'));
    fs.mkdirSync(placeOf(two, 'b'));
    expect(await answer).toMatchObject([true, { code: 'path-refused' }]);
    expect(readConflicts(two)).toMatchObject([{ path: 'a' }]);
    expect(kept(two)).toEqual([
      ['a', 'a of somebody here'],
      ['b', 'b of somebody here'],
    ]);
    expect(tree(two)).toEqual({ a: '->of the primary', b: '/' });
  });
});

it('tells in the conflicts what it loses before it is lost', async () => {
  const { two } = twoServers();
  write(two, 'a', 'of somebody here');
  const seen: string[] = [];
  const watched = { ...two, root: { ...two.root, disk: { ...fs, openSync: seenOf(seen, two) } } };
  expect(await verbsOf(watched).verbs['agentChanges']?.(removal(1, 'a'))).toEqual([true]);
  expect(seen).toEqual(['of somebody here']);
});

it('keeps also what somebody puts there while a conflict is being written', async () => {
  const { two } = twoServers();
  write(two, 'a', 'first');
  let saves = 0;
  const openSync: typeof fs.openSync = (path, ...more) => {
    if (String(path).endsWith('conflicts.jsonl') && saves++ === 0) {
      write(two, 'b', 'saved meanwhile');
      fs.renameSync(placeOf(two, 'b'), placeOf(two, 'a'));
    }
    return fs.openSync(path, ...more);
  };
  const host = { ...two, root: { ...two.root, disk: { ...fs, openSync } } };
  expect(await verbsOf(host).verbs['agentChanges']?.(removal(1, 'a'))).toEqual([true]);
  expect(tree(two)).toEqual({});
  expect(kept(two).map(([, content]) => content)).toEqual(['first', 'saved meanwhile']);
  expect(readConflicts(two).map(({ path }) => path)).toEqual(['a', 'a']);
});

it('is kept under a short name where its own would be too long', async () => {
  const { one, two } = twoServers();
  const folder = Array.from({ length: 20 }, () => 'd'.repeat(198)).join('/');
  const path = `${folder}/${'f'.repeat(4_050 - folder.length)}`;
  write(one, path, 'first');
  write(one, 'a', 'first');
  await pass(one, two);
  for (const name of [path, 'a']) write(one, name, 'the second');
  expect(await pass(one, two)).toMatchObject({ sent: 2, failure: undefined });
  expect(kept(two)).toEqual([
    ['a', 'first'],
    [expect.stringMatching(/^long-[0-9a-f]{16}\/f{71}$/), 'first'],
  ]);
  fs.rmSync(placeOf(one, path));
  expect(await pass(one, two)).toMatchObject({ removed: 1, failure: undefined });
  expect(tree(two)).toEqual(tree(one));
});

/** What stands in `a` when a conflict is written. */
const seenOf =
  (seen: string[], host: Host): typeof fs.openSync =>
  (path, ...more) => {
    if (String(path).endsWith('conflicts.jsonl')) seen.push(tree(host)['a'] ?? 'nothing');
    return fs.openSync(path, ...more);
  };

describe('a kept copy on another file system', () => {
  const text = 'new of the primary';
  const change = {
    epoch: 1,
    set: 'admin',
    changes: [
      {
        kind: 'put',
        seq: 1,
        entry: {
          type: 'file',
          path: 'a',
          owner: 'root',
          group: 'root',
          mode: 0o644,
          mtimeMs: 1_700_000_000_000,
          size: text.length,
          sha256: sha256(text),
        },
        data: Buffer.from(text).toString('base64'),
      },
    ],
  };

  /** Both have `a`, and it cannot be linked to where it is kept; `copying` is called when it was copied. */
  async function apart(copying: (two: Host, copies: number, copy: string) => unknown) {
    const servers = twoServers();
    const [one, two] = [servers.one, inOneSecond(servers.two)];
    write(one, 'a', 'agreed');
    await pass(one, two);
    const { copyFile } = fs.promises;
    let copies = 0;
    replaceCalls({ linkSync: linkNotTo(/\/kept\//) });
    fs.promises.copyFile = async (from, to) => {
      await copyFile(from, to);
      copies += 1;
      await copying(two, copies, to.toString());
    };
    onTestFinished(() => void Object.assign(fs.promises, { copyFile }));
    const { verbs } = verbsOf(two);
    const take = () => verbs['agentChanges']?.(change);
    return { two, take, verbs };
  }

  it('is made again of what somebody saves under that name meanwhile', async () => {
    const { two, take } = await apart((host, copies) => {
      if (copies > 1) return;
      write(host, 'a~', 'typed by a person');
      fs.renameSync(placeOf(host, 'a~'), placeOf(host, 'a'));
    });
    expect(await take()).toEqual([true]);
    expect(tree(two)).toEqual({ a: text });
    expect(kept(two)).toEqual([
      ['a', 'agreed'],
      ['a', 'typed by a person'],
    ]);
    expect(readConflicts(two)).toMatchObject([{ path: 'a', kept: expect.stringMatching(/-1\/a$/) }]);
  });

  it('is made again of what somebody writes into that file meanwhile, and is not half of each', async () => {
    const { two, take } = await apart((host, copies) => {
      if (copies === 1) fs.appendFileSync(placeOf(host, 'a'), ', and typed by a person');
    });
    expect(await take()).toEqual([true]);
    expect(tree(two)).toEqual({ a: text });
    expect(kept(two)).toEqual([['a', 'agreed, and typed by a person']]);
    expect(readConflicts(two)).toMatchObject([{ path: 'a' }]);
  });

  it('is made a few times of what is written all the time, which then is replaced', async () => {
    let written = 0;
    const { two, take } = await apart((host) => {
      written += 1;
      fs.appendFileSync(placeOf(host, 'a'), '.');
    });
    expect(await take()).toEqual([true]);
    expect(tree(two)).toEqual({ a: text });
    // Three copies each of four tries.
    expect(written).toBe(12);
    expect(kept(two).map(([, content]) => content.length)).toEqual([2, 5, 8, 11].map((dots) => 'agreed'.length + dots));
    expect(readConflicts(two).map(({ path }) => path)).toEqual(['a', 'a', 'a', 'a']);
  });

  it('is made again of what somebody has just finished when the last try began', async () => {
    const { two, take } = await apart((host, copies) => {
      if (copies <= 3) fs.appendFileSync(placeOf(host, 'a'), `, part ${copies}`);
    });
    expect(await take()).toEqual([true]);
    expect(kept(two).map(([, content]) => content)).toContain('agreed, part 1, part 2, part 3');
  });

  it('leaves nothing where it fails', async () => {
    const { two, take } = await apart((_two, _copies, copy) => {
      fs.truncateSync(copy, 3);
      throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC', syscall: 'copyfile' });
    });
    expect(await take()).toMatchObject([{ code: 'sync-write-failed', message: expect.stringContaining('ENOSPC') }]);
    expect(tree(two)).toEqual({ a: 'agreed' });
    expect(timesOfKeeping(two)).toEqual([]);
  });

  it('holds up nothing else while it is made', async () => {
    let answered: unknown;
    const servers = await apart(async () => {
      answered = await servers.verbs['heartbeat']?.({ epoch: 1 });
    });
    expect(await servers.take()).toEqual([true]);
    expect(answered).toMatchObject({ epoch: 1 });
  });
});
