import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { readAccounts } from '../../src/agent/accounts.ts';
import { carriedBy, type DataSet, shownPath } from '../../src/agent/entry.ts';
import { openLiveSet } from '../../src/agent/live-set.ts';
import { fullPass } from '../../src/agent/pass.ts';
import type { Host } from '../../src/host/system.ts';
import { drained, startAgent } from './running-agents.ts';
import { pass, placeOf, sessionWith, tree, twoServers, write } from './two-servers.ts';

const admin: DataSet = { name: 'admin', path: '/admin', exclude: [], deletions: { percent: 30, files: 1000 } };

describe('a look', () => {
  it('does not read again what has not changed', async () => {
    const { one } = twoServers();
    write(one, 'a', 'x');
    const live = openLiveSet(one, admin, () => {});
    const look = async () => {
      await live.lookAll();
      return live.tree.names.get('a');
    };
    expect((await look())?.stamp).toBe(''); // too young: it may change again under the same stamp
    await new Promise((resolve) => setTimeout(resolve, 100));
    const known = await look();
    expect(known?.stamp).not.toBe('');
    Object.assign(known ?? {}, { here: 'f as remembered' });
    expect((await look())?.here).toBe('f as remembered');
    write(one, 'a', 'y');
    expect((await look())?.here).not.toBe('f as remembered');
    live.close();
  });

  it('remembers what is agreed on even of a file that was too young when it was read', async () => {
    const { one, two } = twoServers();
    write(one, 'f/a', 'x');
    const session = await sessionWith(two);
    const live = openLiveSet(one, admin, () => {});
    const line = { session, epoch: 1, next: () => 1, acknowledged: () => {}, brought: () => {}, over: () => {} };
    // Sent, then found to be the same, both while its stamp may not be trusted yet.
    await fullPass(line, live, 'nothing');
    await fullPass(line, live, 'nothing');
    await new Promise((resolve) => setTimeout(resolve, 100));
    await fullPass(line, live, 'nothing');
    const { stamp } = live.tree.names.get('f/a') ?? {};
    expect(stamp).toMatch(/./);
    expect(live.tree.agreed.get('f/a')?.stamp).toBe(stamp);
    live.close();
  });

  it('takes what was agreed on from the time before', async () => {
    const { one, two } = twoServers();
    write(one, 'f/a', 'x');
    await new Promise((resolve) => setTimeout(resolve, 100));
    await pass(one, two);
    const live = openLiveSet(one, admin, () => {});
    const agreed = live.tree.agreed.get('f/a');
    expect(agreed?.sign).toMatch(/^f/);
    live.tree.agreed.set('f/a', { sign: 'f as agreed', stamp: agreed?.stamp ?? '' });
    await live.lookAll();
    expect(live.tree.names.get('f/a')?.here).toBe('f as agreed');
    live.close();
  });
});

describe('what is carried', () => {
  const cases: [exclude: string, carried: string[], leftOut: string[]][] = [
    ['*.log', ['log', 'a.logs', 'a.log.txt'], ['a.log', '.log', 'f/a.log', 'a.log/below']],
    ['a?c', ['ac', 'abbc', 'a/c'], ['abc', 'f/a.c']],
    ['run/*', ['run', 'x/run/a'], ['run/a', 'run/a/b']],
    ['a.c', ['abc'], ['a.c']],
    ['[ab](c)+', ['a', 'b(c)+'], ['[ab](c)+']],
    ['*', [], ['a', 'line\nbreak']],
    ['é', ['e'], ['\xc3\xa9']],
  ];
  it.each(cases)('follows the pattern %s', (exclude, carried, leftOut) => {
    const is = carriedBy({ ...admin, exclude: [exclude] });
    expect(carried.filter((path) => !is(path))).toEqual([]);
    expect(leftOut.filter(is)).toEqual([]);
  });
});

describe('a data set that includes some paths', () => {
  const some: DataSet = { ...admin, include: ['etc/cms.conf', 'scripts', 'ü/a'], exclude: ['*.tmp'] };

  it.each([
    ['etc', true],
    ['etc/cms.conf', true],
    ['scripts/deep/run', true],
    ['scripts/x.tmp', false],
    ['etc/other', false],
    ['etc/cms.conf2', false],
    ['scripts2', false],
    ['a', false],
    [Buffer.from('ü/a').toString('latin1'), true],
  ])('%s: %s', (path, carried) => expect(carriedBy(some)(path)).toBe(carried));

  it('carries these, and touches nothing else on the other server', async () => {
    const { one, two } = twoServers();
    const agents = { dataSets: [some] };
    write(one, 'etc/cms.conf', 'x');
    write(one, 'etc/other', 'of one');
    write(one, 'scripts/run', 'x');
    write(two, 'etc/other', 'of two');
    write(two, 'own', 'of two');
    write(two, 'scripts/old', 'goes');
    startAgent(two, one, agents);
    startAgent(one, two, agents);
    await drained(one);
    const others = { etc: '/', 'etc/other': 'of two', own: 'of two' };
    expect(tree(two)).toEqual({ ...others, 'etc/cms.conf': 'x', scripts: '/', 'scripts/run': 'x' });
    fs.rmSync(placeOf(one, 'etc'), { recursive: true });
    await drained(one);
    expect(tree(two)).toEqual({ ...others, scripts: '/', 'scripts/run': 'x' });
  });
});

describe('a path that is shown', () => {
  const cases: [bytes: string, shown: string][] = [
    ['plain/name', 'plain/name'],
    ['caf\xc3\xa9', 'café'],
    ['\xff', '\\xff'],
    ['line\nbreak', 'line\\x0abreak'],
    ['\x1b[2J', '\\x1b[2J'],
    ['\xc2\x9b', '\\x9b'],
  ];
  it.each(cases)('is readable and harmless: %j', (bytes, shown) => expect(shownPath(bytes)).toBe(shown));
});

describe('owners', () => {
  function accounts(host: Host, cms: number): Host {
    fs.mkdirSync(join(host.root.prefix, 'etc'));
    fs.writeFileSync(join(host.root.prefix, 'etc/passwd'), `root:x:0:0::/root:/bin/sh\ncms:x:${cms}:1::/:/bin/sh\n`);
    fs.writeFileSync(join(host.root.prefix, 'etc/group'), `root:x:0:\ncms:x:${cms + 1}:\n`);
    return { ...host, root: { ...host.root, ownersCount: true } };
  }

  it('are told by name, by number where there is none', () => {
    const { root } = accounts(twoServers().one, 700);
    const { owner, group, uid, gid } = readAccounts(root);
    expect([owner(700), group(701), owner(5), uid('cms'), gid('cms'), uid('5')]).toEqual([
      'cms',
      'cms',
      '5',
      700,
      701,
      5,
    ]);
    expect(() => uid('nobody-here')).toThrowError(expect.objectContaining({ code: 'account-unknown' }));
  });

  it.runIf(process.getuid?.() === 0)('go across by name', async () => {
    const { one, two } = twoServers();
    const [here, there] = [accounts(one, 700), accounts(two, 800)];
    write(one, 'f/a', 'x', 0o4750);
    fs.chownSync(placeOf(one, 'f/a'), 700, 701);
    fs.chmodSync(placeOf(one, 'f/a'), 0o4750);
    fs.symlinkSync('a', placeOf(one, 'f/link'));
    fs.lchownSync(placeOf(one, 'f/link'), 700, 0);
    fs.chownSync(placeOf(one, 'f'), 0, 701);
    await pass(here, there);
    const owners = ['f', 'f/a', 'f/link'].map((path) => fs.lstatSync(placeOf(two, path))).map((s) => [s.uid, s.gid]);
    expect(owners).toEqual([
      [0, 801],
      [800, 801],
      [800, 0],
    ]);
    expect(fs.statSync(placeOf(two, 'f/a')).mode & 0o7777).toBe(0o4750);
    expect(await pass(here, there)).toMatchObject({ sent: 0 });
  });

  it.runIf(process.getuid?.() === 0)(
    'that the other server does not have are a problem of their file only',
    async () => {
      const { one, two } = twoServers();
      const [here, there] = [accounts(one, 700), accounts(two, 800)];
      fs.writeFileSync(join(two.root.prefix, 'etc/passwd'), 'root:x:0:0::/root:/bin/sh\n');
      write(one, 'a', 'x');
      write(one, 'b', 'y');
      fs.chownSync(placeOf(one, 'a'), 700, 0);
      expect(await pass(here, there)).toMatchObject({ sent: 1, problems: [expect.stringContaining('"cms"')] });
      expect(fs.readdirSync(placeOf(two, ''))).toEqual(['b']);
    },
  );
});
