import * as fs from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Host } from '../../src/host/system.ts';
import { kept, pairAt, pass, placeOf, savePair, sessionWith, tree, twoServers, write } from './two-servers.ts';

describe('a full pass', () => {
  it('carries files, folders and links as they are', async () => {
    const { one, two } = twoServers();
    write(one, 'a', 'first', 0o604);
    write(one, 'folder/deep/b', 'second');
    fs.mkdirSync(placeOf(one, 'empty'), { mode: 0o700 });
    fs.symlinkSync('../outside', placeOf(one, 'folder/link'));
    fs.utimesSync(placeOf(one, 'a'), 1_700_000_000.123, 1_700_000_000.123);
    const result = await pass(one, two);
    expect(result).toMatchObject({ sent: 6, removed: 0, bytes: 11, held: undefined, problems: [] });
    expect(tree(two)).toEqual(tree(one));
    const stat = fs.statSync(placeOf(two, 'a'));
    expect([stat.mode & 0o7777, Math.round(stat.mtimeMs)]).toEqual([0o604, 1_700_000_000_123]);
    expect(fs.statSync(placeOf(two, 'empty')).mode & 0o7777).toBe(0o700);
  });

  it('carries times before 1970', async () => {
    const { one, two } = twoServers();
    // Seconds as text: of a negative number node makes the present.
    const times = { old: '-157766400', older: '-157766400.25', last: '-0.001' };
    for (const [path, time] of Object.entries(times)) {
      write(one, path, 'text');
      fs.utimesSync(placeOf(one, path), time, time);
    }
    await pass(one, two);
    const timesOf = (host: Host): number[] =>
      Object.keys(times).map((path) => Math.round(fs.statSync(placeOf(host, path)).mtimeMs));
    expect(timesOf(two)).toEqual(Object.values(times).map((time) => Number(time) * 1000));
    expect(await pass(one, two)).toMatchObject({ sent: 0 });
  });

  it('finds nothing to do the second time', async () => {
    const { one, two } = twoServers();
    write(one, 'folder/a', 'text');
    fs.symlinkSync('a', placeOf(one, 'folder/link'));
    await pass(one, two);
    expect(await pass(one, two)).toMatchObject({ sent: 0, removed: 0, bytes: 0 });
  });

  const changes: Record<string, (one: Host) => void> = {
    'changed content': (one) => write(one, 'f/a', 'changed'),
    'changed content of the same length and time': (one) => {
      const { atime, mtime } = fs.statSync(placeOf(one, 'f/a'));
      write(one, 'f/a', 'zwei');
      fs.utimesSync(placeOf(one, 'f/a'), atime, mtime);
    },
    'a changed mode': (one) => fs.chmodSync(placeOf(one, 'f/a'), 0o600),
    "a folder's changed mode": (one) => fs.chmodSync(placeOf(one, 'f'), 0o711),
    'a renamed file': (one) => fs.renameSync(placeOf(one, 'f/a'), placeOf(one, 'f/b')),
    'a renamed folder': (one) => fs.renameSync(placeOf(one, 'f'), placeOf(one, 'g')),
    'a removed file': (one) => fs.rmSync(placeOf(one, 'f/a')),
    'a removed folder': (one) => fs.rmSync(placeOf(one, 'f'), { recursive: true }),
    'a new target of a link': (one) => {
      fs.rmSync(placeOf(one, 'link'));
      fs.symlinkSync('elsewhere', placeOf(one, 'link'));
    },
    'a file that became a folder': (one) => {
      fs.rmSync(placeOf(one, 'f/a'));
      write(one, 'f/a/inside', 'x');
    },
    'a folder that became a file': (one) => {
      fs.rmSync(placeOf(one, 'f'), { recursive: true });
      write(one, 'f', 'x');
    },
    'a folder that became a link': (one) => {
      fs.rmSync(placeOf(one, 'f'), { recursive: true });
      fs.symlinkSync('stay', placeOf(one, 'f'));
    },
    'a link that became a file': (one) => {
      fs.rmSync(placeOf(one, 'link'));
      write(one, 'link', 'x');
    },
    'a truncated file': (one) => write(one, 'f/a', ''),
  };
  it.each(Object.entries(changes))('carries %s', async (_name, change) => {
    const { one, two } = twoServers();
    write(one, 'stay', 'here');
    write(one, 'f/a', 'eins');
    fs.symlinkSync('stay', placeOf(one, 'link'));
    await pass(one, two);
    const before = JSON.stringify([tree(one), fs.statSync(placeOf(two, 'stay')).ino]);
    change(one);
    const result = await pass(one, two);
    expect(tree(two)).toEqual(tree(one));
    expect(modes(two)).toEqual(modes(one));
    expect(result.sent + result.removed).toBeGreaterThan(0);
    expect(JSON.parse(before)[1]).toBe(fs.statSync(placeOf(two, 'stay')).ino);
  });

  it('carries names that are hostile to terminals and shells', async () => {
    const { one, two } = twoServers();
    const names = [
      'line\nbreak',
      '--',
      '-rf',
      'space and "quotes\'',
      'not\xffutf8\xfe',
      'caf\xc3\xa9',
      '$(id)',
      '\x1b[2J',
      '...',
    ];
    for (const name of names) write(one, name, name);
    for (const name of names) write(one, `folder\xff/${name}`, name);
    await pass(one, two);
    expect(tree(two)).toEqual(tree(one));
    expect(Object.keys(tree(two))).toHaveLength(19);
    for (const name of names) fs.rmSync(placeOf(one, name));
    await pass(one, two);
    expect(tree(two)).toEqual(tree(one));
  });

  it('sends a big file in parts', async () => {
    const { one, two } = twoServers();
    const sizes = [1_048_575, 1_048_576, 1_048_577, 5_000_000];
    for (const size of sizes) write(one, `big${size}`, Buffer.alloc(size, `${size} bytes `));
    const session = await sessionWith(two);
    const parts: number[] = [];
    const counted = {
      ...session,
      call: (verb: string, args: unknown) => {
        if (verb === 'agentPut') parts.push(1);
        return session.call(verb, args);
      },
    };
    const { bytes } = await pass(one, two, counted);
    expect(bytes).toBe(sizes.reduce((sum, size) => sum + size));
    expect(parts).toHaveLength(1 + 1 + 2 + 5);
    expect(tree(two)).toEqual(tree(one));
  });

  it('leaves out what is excluded, tagged backups and special files', async () => {
    const { one, two } = twoServers();
    const ofChanges = ['c.zdt_12_1700000000', 'c.zdt_12_1700000000.edited-2', '.c.zdt_12_1700000000.staged'];
    for (const name of ['a', 'b.log', ...ofChanges, 'cache/d.tmp', 'cache/e/f.tmp', 'old.log/inside'])
      write(one, name, 'x');
    const socket = createServer();
    await new Promise<void>((resolve) => socket.listen(placeOf(one, 'socket').toString(), resolve));
    write(two, 'mine.log', 'of cms2');
    await pass(one, two);
    socket.close();
    expect(Object.keys(tree(two)).sort()).toEqual(['a', 'cache', 'cache/e', 'cache/e/f.tmp', 'mine.log']);
  });

  it('leaves a folder that still holds what is not carried', async () => {
    const { one, two } = twoServers();
    write(one, 'a', 'x');
    write(two, 'gone/local.log', 'x');
    write(two, 'gone/old', 'x');
    await pass(one, two);
    expect(tree(two)).toEqual({ a: 'x', gone: '/', 'gone/local.log': 'x' });
  });

  it('keeps what it overwrites and removes', async () => {
    const { one, two } = twoServers();
    write(one, 'f/a', 'new');
    write(one, 'x', 'a file now');
    write(two, 'f/a', 'old');
    write(two, 'f/gone', 'removed');
    write(two, 'x/below', 'below a folder');
    fs.symlinkSync('target', placeOf(two, 'link'));
    await pass(one, two);
    expect(kept(two)).toEqual([
      ['f/a', 'old'],
      ['f/gone', 'removed'],
      ['link', '->target'],
      ['x/below', 'below a folder'],
    ]);
    expect(fs.statSync(join(two.root.prefix, '/var/lib/cmsadm/kept')).mode & 0o777).toBe(0o700);
  });

  it('keeps every version of a file that changes within a second', async () => {
    const { one, two } = twoServers();
    two.system.clock = () => 1_700_000_000_000;
    for (const version of ['1', '2', '3', '4']) {
      write(one, 'a', version);
      await pass(one, two);
    }
    expect(kept(two)).toEqual([
      ['a', '1'],
      ['a', '2'],
      ['a', '3'],
    ]);
  });

  it('removes nothing when its own folder is missing', async () => {
    const { one, two } = twoServers();
    write(two, 'a', 'precious');
    fs.rmSync(placeOf(one, ''), { recursive: true });
    expect(await pass(one, two)).toMatchObject({ failure: { code: 'data-set-missing' } });
    expect(tree(two)).toEqual({ a: 'precious' });
  });

  it('refuses a data set whose folder is a link', async () => {
    const { one, two } = twoServers();
    write(two, 'a', 'precious');
    fs.renameSync(placeOf(one, ''), join(one.root.prefix, 'real'));
    fs.symlinkSync('real', join(one.root.prefix, 'admin'));
    expect(await pass(one, two)).toMatchObject({ failure: { code: 'data-set-missing' } });
    expect(tree(two)).toEqual({ a: 'precious' });
  });

  it('names the other server when the folder is missing there', async () => {
    const { one, two } = twoServers();
    write(one, 'a', 'x');
    fs.rmSync(placeOf(two, ''), { recursive: true });
    expect(await pass(one, two)).toMatchObject({ failure: { code: 'data-set-missing', server: 'peer' } });
  });

  it('holds an empty data set', async () => {
    const { one, two } = twoServers();
    write(two, 'a', 'precious');
    for (const _again of [1, 2])
      expect(await pass(one, two)).toMatchObject({ held: expect.stringContaining('empty'), removed: 0 });
    expect(tree(two)).toEqual({ a: 'precious' });
  });

  it('goes on after a name that the other server does not take, and says which', async () => {
    const { one, two } = twoServers();
    write(one, 'blocked', 'x');
    write(one, 'fine', 'y');
    write(two, 'blocked/local.log', 'not carried, so not removed');
    const result = await pass(one, two);
    expect(result.problems).toEqual([expect.stringContaining('blocked')]);
    expect(tree(two)).toMatchObject({ fine: 'y', 'blocked/local.log': 'not carried, so not removed' });
  });

  it('leaves no temporary file', async () => {
    const { one, two } = twoServers();
    write(one, 'a', 'x');
    write(two, '.cmsadm-sync.999999999.1.1', 'of a process that died');
    await pass(one, two);
    expect(tree(two)).toEqual({ a: 'x' });
  });

  it('is refused under an older epoch', async () => {
    const { one, two } = twoServers();
    write(one, 'a', 'x');
    savePair(two, pairAt(2));
    await expect(pass(one, two)).rejects.toMatchObject({ code: 'epoch-older' });
    expect(tree(two)).toEqual({});
  });
});

const modes = (host: Host): Record<string, number> =>
  Object.fromEntries(Object.keys(tree(host)).map((path) => [path, fs.lstatSync(placeOf(host, path)).mode]));
