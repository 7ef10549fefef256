import * as fs from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { openAgreed } from '../../src/agent/agreed.ts';
import type { DataSet } from '../../src/agent/entry.ts';
import { openLiveSet } from '../../src/agent/live-set.ts';
import { lookAll, lookAt } from '../../src/agent/look.ts';
import { makeTree, stampOf, type Tree } from '../../src/agent/tree.ts';
import { makeWatches, type Watches } from '../../src/agent/watch.ts';
import type { Host } from '../../src/host/system.ts';
import { placeOf, twoServers, write } from './two-servers.ts';

const admin: DataSet = {
  name: 'admin',
  path: '/admin',
  exclude: ['*.log', '[x]?\\y', 'cache/*.tmp'],
  deletions: { percent: 30, files: 1000 },
};

const watched: Watches[] = [];
afterEach(() => {
  for (const watches of watched.splice(0)) watches.close();
});

type Looked = { readonly tree: Tree; readonly watches: Watches; look(many?: number, program?: string): Promise<void> };

/** A data set that was looked at, long enough ago to be trusted; from then on find(1) is asked however few names there are. */
async function looked(host: Host): Promise<Looked> {
  const tree = makeTree(host, admin, openAgreed(host.root, 'admin'));
  const watches = makeWatches(() => {});
  watched.push(watches);
  const look = async (many = 0, program?: string): Promise<void> => {
    watches.begin();
    await lookAll(tree, watches, () => {}, many, program);
    watches.end();
  };
  await look(Number.POSITIVE_INFINITY);
  await sleep(100);
  await look();
  await look();
  return { tree, watches, look };
}

const signs = ({ names }: Tree): Record<string, string | undefined> =>
  Object.fromEntries([...names].map(([path, { here }]) => [path, here]).sort());

/** What is there, by a tree that knows nothing yet. */
async function truth(host: Host): Promise<Record<string, string | undefined>> {
  const tree = makeTree(host, admin, openAgreed(host.root, 'other'));
  await lookAll(tree, { onFolder: () => {}, isWatched: () => false });
  return signs(tree);
}

function fill(host: Host): void {
  for (const name of [
    'a',
    'b c',
    'line\nbreak',
    'not\xffutf8',
    '-rf',
    '[x]z',
    'x1\\y',
    'x1y',
    'cache/e.tmp',
    'f.log/inside',
    '[x]1\\y',
  ])
    write(host, name, name);
  for (const folder of ['one', 'two\xe9', 'one/deep\n'])
    for (const name of ['a', 'b']) write(host, `${folder}/${name}`, name);
  fs.symlinkSync('one', placeOf(host, 'link'));
}

describe('a look with find(1)', () => {
  const changes: [what: string, change: (host: Host) => void][] = [
    ['nothing', () => {}],
    ['a new file', (host) => write(host, 'one/new', 'x')],
    ['another content', (host) => write(host, 'one/a', 'other')],
    [
      'a content of the same size and time',
      (host) => {
        const { atime, mtime } = fs.statSync(placeOf(host, 'one/a'));
        write(host, 'one/a', 'z');
        fs.utimesSync(placeOf(host, 'one/a'), atime, mtime);
      },
    ],
    ['another mode', (host) => fs.chmodSync(placeOf(host, 'line\nbreak'), 0o600)],
    ['a removed file', (host) => fs.rmSync(placeOf(host, 'two\xe9/b'))],
    ['a removed folder', (host) => fs.rmSync(placeOf(host, 'one'), { recursive: true })],
    ['a renamed folder', (host) => fs.renameSync(placeOf(host, 'one'), placeOf(host, 'two\xe9/three'))],
    ['a new folder', (host) => write(host, 'one/new/below/a', 'x')],
    [
      'a folder instead of a file',
      (host) => {
        fs.rmSync(placeOf(host, 'a'));
        write(host, 'a/below', 'x');
      },
    ],
    [
      'a file instead of a folder',
      (host) => {
        fs.rmSync(placeOf(host, 'one'), { recursive: true });
        write(host, 'one', 'x');
      },
    ],
    [
      'another folder of the same name',
      (host) => {
        fs.renameSync(placeOf(host, 'one'), placeOf(host, 'was'));
        write(host, 'one/deep\n/a', 'new');
      },
    ],
    [
      'another link',
      (host) => {
        fs.rmSync(placeOf(host, 'link'));
        fs.symlinkSync('a', placeOf(host, 'link'));
      },
    ],
    [
      'what is not carried',
      (host) => {
        write(host, 'x.log', 'x');
        write(host, 'cache/n.tmp', 'x');
        write(host, 'k.zdt_1_1700000000', 'x');
      },
    ],
  ];
  it.each(changes)('sees %s', async (_what, change) => {
    const { one } = twoServers();
    fill(one);
    const { tree, look } = await looked(one);
    expect(signs(tree)).toEqual(await truth(one));
    expect(Object.keys(signs(tree))).toHaveLength(19);
    change(one);
    const expected = await truth(one);
    await look();
    expect(signs(tree)).toEqual(expected);
    await look();
    expect(signs(tree)).toEqual(expected);
  });

  it('does not read what has not changed, and knows so by what find told', async () => {
    const { one } = twoServers();
    fill(one);
    const { tree, look } = await looked(one);
    for (const name of tree.names.values()) {
      expect(name.found).toMatch(/^\d+:\d+:[\d.]+:[\d.]+$/);
      name.here = `${name.here?.slice(0, 1)} as remembered`;
    }
    await look();
    expect(new Set(Object.values(signs(tree)))).toEqual(
      new Set(['d as remembered', 'f as remembered', 'l as remembered']),
    );
  });

  it('watches a new folder before its names are read, also one that is not there any more under its old name', async () => {
    const { one } = twoServers();
    fill(one);
    const { tree, watches } = await looked(one);
    write(one, 'new/below/a', 'x');
    fs.renameSync(placeOf(one, 'one'), placeOf(one, 'moved'));
    const told: string[] = [];
    watches.begin();
    await lookAll(
      tree,
      {
        isWatched: watches.isWatched,
        onFolder: (path, place, stat) => {
          told.push(path);
          watches.onFolder(path, place, stat);
          write(one, `${path}/came with the watch`, 'x');
        },
      },
      () => {},
      0,
    );
    watches.end();
    expect(told.sort()).toEqual(['moved', 'moved/deep\n', 'new', 'new/below']);
    for (const folder of told) expect(tree.names.get(`${folder}/came with the watch`)?.here, folder).toMatch(/^f/);
    const { ino } = fs.lstatSync(placeOf(one, 'moved'));
    expect([watches.isWatched('one', ino), watches.isWatched('moved', ino)]).toEqual([false, true]);
  });

  it('looks itself at folders that cannot be watched', async () => {
    const { one } = twoServers();
    fill(one);
    const { tree } = await looked(one);
    write(one, 'one/new', 'x');
    await lookAll(tree, { onFolder: () => {}, isWatched: () => false }, () => {}, 0);
    expect(signs(tree)).toEqual(await truth(one));
  });

  it('passes by sockets', async () => {
    const { one } = twoServers();
    fill(one);
    const { tree, look } = await looked(one);
    const socket = createServer();
    await new Promise<void>((resolve) => socket.listen(placeOf(one, 'socket').toString(), resolve));
    await look();
    expect(tree.names.get('socket')).toBeUndefined();
    socket.close();
  });

  const broken: [what: string, script: string | undefined][] = [
    ['is not there', undefined],
    ['fails', 'exit 1'],
    ['did not see everything', 'printf "1:1:1:1 a\\\\0"; exit 1'],
    ['is killed', 'kill -9 $$'],
    ['ends in the middle of a name', 'printf "1:1:1:1 a"'],
  ];
  it.each(broken)('is a look without it where find %s', async (_what, script) => {
    const { one } = twoServers();
    fill(one);
    const { tree, look } = await looked(one);
    const programs = join(one.root.prefix, 'programs');
    fs.mkdirSync(programs);
    if (script !== undefined) fs.writeFileSync(join(programs, 'find'), `#!/bin/sh\n${script}\n`, { mode: 0o755 });
    write(one, 'one/new', 'x');
    fs.rmSync(placeOf(one, 'a'));
    await look(0, join(programs, 'find'));
    expect(signs(tree)).toEqual(await truth(one));
  });

  it('believes no find that misses names', async () => {
    const { one } = twoServers();
    fill(one);
    const { tree, look } = await looked(one);
    const programs = join(one.root.prefix, 'programs');
    fs.mkdirSync(programs);
    fs.writeFileSync(join(programs, 'find'), '#!/bin/sh\nexit 0\n', { mode: 0o755 });
    const before = signs(tree);
    await look(0, join(programs, 'find'));
    expect(signs(tree)).toEqual(before);
  });
});

describe('a look at single names', () => {
  it('goes into no folder that is watched and as before', async () => {
    const { one } = twoServers();
    fill(one);
    const { tree, watches } = await looked(one);
    fs.chmodSync(placeOf(one, 'one'), 0o700);
    const seen = await lookAt(tree, ['one'], watches);
    expect([...seen].sort()).toEqual(['one', 'one/a', 'one/b', 'one/deep\n']);
    expect(signs(tree)).toEqual(await truth(one));
  });

  it('goes into a folder whose event was lost, and forgets what went there', async () => {
    const { one } = twoServers();
    fill(one);
    const { tree, watches } = await looked(one);
    write(one, 'one/deep\n/came', 'x');
    fs.rmSync(placeOf(one, 'one/deep\n/a'));
    await lookAt(tree, ['one'], watches);
    expect(signs(tree)).toEqual(await truth(one));
  });

  it('lists a folder with an event of its own, although it was met before', async () => {
    const { one } = twoServers();
    fill(one);
    const { tree, watches } = await looked(one);
    // As if an earlier look had noted its new stamp without listing it.
    write(one, 'one/deep\n/came', 'x');
    await lookAt(tree, ['one/deep\n/nothing'], watches);
    const name = tree.names.get('one/deep\n');
    Object.assign(name ?? {}, { stamp: stampOf(fs.lstatSync(placeOf(one, 'one/deep\n'))) });
    await lookAt(tree, ['one', 'one/deep\n'], watches);
    expect(signs(tree)).toEqual(await truth(one));
  });

  it('finds everything again in a folder that went and came back', async () => {
    const { one } = twoServers();
    fill(one);
    const { tree, watches } = await looked(one);
    for (const [from, to] of [
      ['one', 'elsewhere'],
      ['elsewhere', 'one'],
    ] as const) {
      fs.renameSync(placeOf(one, from), placeOf(one, to));
      const seen = await lookAt(tree, [from, to], watches);
      expect(seen.size).toBe(12);
      expect(signs(tree)).toEqual(await truth(one));
    }
  });
});

describe('two looks at once', () => {
  it('take nothing for gone that the other one has yet to meet', async () => {
    const { one } = twoServers();
    for (let number = 0; number < 1_200; number += 1) write(one, `${number}`, '');
    const live = openLiveSet(one, { ...admin, exclude: [] }, () => {});
    let second: Promise<void> | undefined;
    await live.lookAll((seen) => {
      if (seen === 1_000) second = live.lookAll();
    });
    expect([...live.tree.names.values()].filter(({ here }) => here !== undefined)).toHaveLength(1_200);
    await second;
    live.close();
  });
});
