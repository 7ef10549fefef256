// A restore over a root, broken at every call that changes something: the root is as it was, or as it shall be.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { settlePlacing } from '../../src/backup/placing.ts';
import { type RestorePlan, restoreBackup } from '../../src/backup/restore-backup.ts';
import { running, settleDead } from '../../src/backup/running.ts';
import { stageName } from '../../src/backup/stages.ts';
import { backup } from '../../src/commands/backup.ts';
import type { Host } from '../../src/host/system.ts';
import { testHost } from '../change/test-host.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { collected, type NewPair, pairMaker, refusalOf } from '../rehearsal/pair.ts';
import { breakingAt, type How, Killed } from './broken-calls.ts';
import { has } from './has-program.ts';

const folder = tempFolder();
const isRoot = process.getuid?.() === 0;
const claim = { operation: 'restore', operator: 'ops', startedOn: 'cms1' };

const put = (path: string, text: string, seconds = 1_600_000_000): void => {
  fs.mkdirSync(join(path, '..'), { recursive: true });
  fs.writeFileSync(path, text);
  fs.utimesSync(path, seconds, seconds);
};
const odd = (root: string): Buffer => Buffer.concat([Buffer.from(`${root}/srv/`), Buffer.from([0x66, 0xfc, 0x72])]);

/** What is saved. */
function fill(root: string): void {
  put(`${root}/srv/first`, 'saved');
  fs.linkSync(`${root}/srv/first`, `${root}/srv/second`);
  fs.writeFileSync(odd(root), 'a name in another encoding');
  fs.symlinkSync('first', `${root}/srv/soft`);
  for (let i = 0; i < 3; i += 1) put(`${root}/srv/lib/file${i}`, `saved ${i}`);
  put(`${root}/srv/new/deep/file`, 'saved');
  put(`${root}/srv/grows/file`, 'a folder now, a file there');
  put(`${root}/srv/shrinks`, 'a file now, a folder there');
  put(`${root}/srv/part/on/disk`, 'saved');
  fs.chmodSync(`${root}/srv/part`, 0o2750);
  for (const name of ['srv/lib', 'srv/part', 'srv']) fs.utimesSync(`${root}/${name}`, 1_500_000_000, 1_500_000_000);
}

/** A root as it is before: older, newer, other kinds, and what the backup does not know. */
function older(root: string): void {
  put(`${root}/srv/first`, 'edited');
  put(`${root}/srv/mine`, 'mine');
  put(`${root}/srv/soft`, 'no link here');
  put(`${root}/srv/usr/lib/file0`, 'edited');
  fs.symlinkSync('usr/lib', `${root}/srv/lib`);
  put(`${root}/srv/grows`, 'a file');
  fs.mkdirSync(`${root}/srv/shrinks`);
  fs.mkdirSync(`${root}/srv/part`);
  fs.chmodSync(`${root}/srv`, 0o711);
  fs.lutimesSync(`${root}/srv/lib`, 1_400_000_000, 1_400_000_000);
  for (const name of ['srv/usr/lib', 'srv/usr', 'srv/shrinks', 'srv/part', 'srv', '.'])
    fs.utimesSync(`${root}/${name}`, 1_400_000_000, 1_400_000_000);
}

/** Everything of a tree that a restore may change. */
function standing(root: string): Record<string, string> {
  const lines: Record<string, string> = {};
  const look = (path: Buffer): void => {
    const stat = fs.lstatSync(path);
    const { mode, uid, gid, nlink, size } = stat;
    const content = stat.isSymbolicLink() ? fs.readlinkSync(path) : stat.isFile() ? fs.readFileSync(path) : '';
    const name = path.toString('latin1').slice(root.length);
    const seconds = Math.trunc(stat.mtimeMs / 1000);
    const time = seconds > 1_700_000_000 ? 'now' : seconds;
    lines[name] = [mode.toString(8), uid, gid, stat.isDirectory() ? '' : nlink, time].join(' ');
    lines[name] += ` ${stat.isDirectory() ? '' : size} ${createHash('sha256').update(content).digest('hex')}`;
    if (!stat.isDirectory()) return;
    for (const entry of fs.readdirSync(path, 'buffer')) look(Buffer.concat([path, Buffer.from('/'), entry]));
  };
  look(Buffer.from(root));
  return lines;
}

let make: NewPair;
let archives: Record<string, string>;
beforeAll(async () => {
  make = await pairMaker(folder);
  archives = {};
  const keep = { count: 1, days: 1 };
  for (const format of ['tar', ...(has('cpio') && has('getfattr') ? ['cpio'] : [])]) {
    const pair = make(`source-${format}`);
    fill(pair.cms1);
    fs.mkdirSync(join(pair.cms1, 'backup'));
    const context = pair.context(pair.cms1);
    const profile = {
      ...context.profile,
      backup: { include: ['/srv'], exclude: [], dataDisks: [], log: '/var/log/b', keep },
    };
    const made = await backup({ ...context, profile }, { device: '2', path: '/backup', format });
    archives[format] = join(pair.cms1, 'backup', String(made.result['name']));
  }
}, 60_000);

let count = 0;
type World = { readonly host: Host; readonly over: string };
function world(): World {
  count += 1;
  const host = testHost(join(folder, `world-${count}`));
  const over = join(host.root.prefix, 'mnt/root');
  fs.mkdirSync(over, { recursive: true });
  older(over);
  return { host, over };
}

const planOf = (over: string, more: Partial<RestorePlan> = {}): RestorePlan => ({
  archives: [{ file: archives['tar'] ?? '', isTape: false }],
  how: 'over',
  folder: over,
  tag: 'zdt_1_2',
  ...more,
});
const restore = ({ host }: World, plan: RestorePlan, stop = { requested: false }) =>
  running(host, claim, { blocks: undefined, warn: () => undefined }, (noted) =>
    restoreBackup(host, plan, collected().report, stop, noted),
  );
/** The process that broke is gone. */
const afterwards = ({ host }: World): Host => ({ ...host, system: { ...host.system, processStart: () => undefined } });

const everything = (): Partial<RestorePlan> => ({});
const some = (): Partial<RestorePlan> => ({
  paths: ['/srv/first', '/srv/new', '/srv/grows', '/srv/lib/file0', '/srv/part'],
});

describe('a restore over a root', () => {
  test('changes what the backup has, folders with their modes and times, and leaves the rest', async () => {
    const one = world();
    await restore(one, planOf(one.over));
    const read = (name: string): string => fs.readFileSync(join(one.over, 'srv', name), 'utf8');
    expect(
      ['first', 'second', 'soft', 'mine', 'usr/lib/file0', 'lib/file2', 'new/deep/file', 'grows/file'].map(read),
    ).toEqual(['saved', 'saved', 'saved', 'mine', 'saved 0', 'saved 2', 'saved', 'a folder now, a file there']);
    expect(fs.readFileSync(odd(one.over), 'utf8')).toBe('a name in another encoding');
    expect(fs.lstatSync(join(one.over, 'srv/lib')).isSymbolicLink()).toBe(true);
    const part = fs.statSync(join(one.over, 'srv/part'));
    expect([part.mode & 0o7777, part.mtimeMs]).toEqual([0o2750, 1_500_000_000_000]);
    expect(fs.statSync(join(one.over, 'srv/first')).ino).toBe(fs.statSync(join(one.over, 'srv/second')).ino);
    expect(fs.statSync(one.over).mtimeMs).toBe(1_400_000_000_000);
    expect(fs.readdirSync(one.over)).toEqual(['srv']);
  });

  test('of cpio comes to the same', async ({ skip }) => {
    const cpio = archives['cpio'];
    if (cpio === undefined) return skip('no cpio or getfattr here');
    const [one, other] = [world(), world()];
    await restore(one, planOf(one.over));
    await restore(other, planOf(other.over, { archives: [{ file: cpio, isTape: false }] }));
    expect(standing(other.over)).toEqual(standing(one.over));
  });

  test.each([
    ['killed', 'everything', everything],
    ['refused', 'everything', everything],
    ['killed', 'some files', some],
    ['refused', 'some files', some],
  ] as const)(
    '%s at any of its calls leaves before or after: %s',
    async (how: How, _, what) => {
      const whole = world();
      const before = standing(whole.over);
      const { calls, thrown } = await breakingAt(Number.MAX_SAFE_INTEGER, how, () =>
        restore(whole, planOf(whole.over, what())),
      );
      expect(thrown).toBeUndefined();
      const after = standing(whole.over);
      expect(after).not.toEqual(before);
      const ends = new Set<string>();
      for (let at = 1; at <= calls.length; at += 1) {
        const one = world();
        const broken = await breakingAt(at, how, () => restore(one, planOf(one.over, what())));
        const where = `${at}: ${calls[at - 1]}`;
        if (how === 'killed') {
          expect(broken.thrown, where).toBeDefined();
          await settleDead(afterwards(one), claim);
        } else if (broken.thrown !== undefined && fs.existsSync(join(one.over, stageName))) {
          // What could not be put back for the same reason is tried again.
          await settleDead(one.host, claim);
        }
        const now = standing(one.over);
        const end = JSON.stringify(now) === JSON.stringify(before) ? 'before' : 'after';
        ends.add(end);
        expect(now, where).toEqual(end === 'before' ? before : after);
        if (how === 'refused' && broken.thrown === undefined) expect(end, where).toBe('after');
        expect(await settleDead(afterwards(one), claim), where).toEqual([]);
      }
      expect([...ends].sort()).toEqual(['after', 'before']);
    },
    240_000,
  );

  test('is settled where it is left half way, although nothing on this server tells of it', async () => {
    const one = world();
    const before = standing(one.over);
    const { calls } = await breakingAt(Number.MAX_SAFE_INTEGER, 'killed', () => restore(one, planOf(one.over)));
    const last = calls.lastIndexOf('linkSync');
    const two = world();
    const { thrown } = await breakingAt(last, 'killed', () => restore(two, planOf(two.over)));
    expect(thrown).toBeInstanceOf(Killed);
    expect(standing(two.over)).not.toEqual(before);
    expect(await settlePlacing(two.over)).toEqual([
      expect.stringMatching(/^the restore over .*root was put back: \d+ names as before it$/),
    ]);
    expect(standing(two.over)).toEqual(before);
    expect(await settlePlacing(two.over)).toEqual([]);
  });

  test('is interrupted by the operator at any name, and is put back', async () => {
    const one = world();
    const before = standing(one.over);
    let looks = 0;
    const stop = {
      get requested() {
        looks += 1;
        return false;
      },
    };
    await restore(one, planOf(one.over), stop);
    const all = looks;
    for (let at = all; at > all - 12; at -= 2) {
      const two = world();
      let seen = 0;
      const stopping = {
        get requested() {
          seen += 1;
          return seen >= at;
        },
      };
      expect(await refusalOf(restoreOutcome(two, stopping)), String(at)).toMatchObject({ code: 'interrupted' });
      expect(standing(two.over), String(at)).toEqual(before);
    }
  });

  test.each([
    [
      'a folder that holds something, where the backup has a file',
      (over: string) => put(`${over}/srv/shrinks/x`, 'x'),
      'place-taken',
    ],
    [
      'a link that leads out of the root',
      (over: string) => {
        fs.rmSync(`${over}/srv/part`, { recursive: true });
        fs.symlinkSync('/tmp', `${over}/srv/part`);
      },
      'place-taken',
    ],
  ])('refuses %s, and touches nothing', async (_, spoil, code) => {
    const one = world();
    spoil(one.over);
    const before = standing(one.over);
    expect(await refusalOf(restoreOutcome(one))).toMatchObject({ code });
    expect({ ...standing(one.over), '': '' }).toEqual({ ...before, '': '' });
  });

  test('refuses before anything is written where there is no room for the old and the new', async () => {
    const one = world();
    const before = standing(one.over);
    const system = { ...one.host.system, disk: async () => ({ freeMb: 0, totalMb: 100 }) };
    const poor = { ...one, host: { ...one.host, system } };
    expect(await refusalOf(restoreOutcome(poor))).toMatchObject({
      code: 'no-room',
      message: expect.stringMatching(/has 0 MB free, and 1 MB are restored there/),
    });
    expect(standing(one.over)).toEqual(before);
  });

  test.skipIf(!isRoot)(
    'puts what belongs to another file system there, and waits for it where it is missing',
    async () => {
      const disk = (one: World): string => join(one.host.root.prefix, 'disk');
      const mount = (one: World): void => {
        fs.mkdirSync(disk(one), { recursive: true });
        execFileSync('mount', ['--bind', disk(one), join(one.over, 'srv/part')]);
      };
      const unmount = (one: World): void => void execFileSync('umount', [join(one.over, 'srv/part')]);
      const [whole, broken] = [world(), world()];
      mount(whole);
      mount(broken);
      try {
        const before = standing(broken.over);
        const { calls } = await breakingAt(Number.MAX_SAFE_INTEGER, 'killed', () => restore(whole, planOf(whole.over)));
        expect(fs.readFileSync(join(disk(whole), 'on/disk'), 'utf8')).toBe('saved');
        expect(fs.readdirSync(disk(whole))).toEqual(['on']);
        await breakingAt(calls.lastIndexOf('renameSync'), 'killed', () => restore(broken, planOf(broken.over)));
        expect(fs.readdirSync(disk(broken)).sort()).toEqual([stageName, 'on']);
        unmount(broken);
        await expect(settleDead(afterwards(broken), claim)).rejects.toMatchObject({ code: 'restore-unsettled' });
        mount(broken);
        await settleDead(afterwards(broken), claim);
        expect(standing(broken.over)).toEqual(before);
        expect(fs.readdirSync(disk(broken))).toEqual([]);
      } finally {
        unmount(whole);
        unmount(broken);
      }
    },
  );

  test.skipIf(!isRoot)('knows another device as well, and fails where only a link leads to one', async () => {
    const [one, other] = [world(), world()];
    for (const { over } of [one, other])
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', join(over, 'srv/part')]);
    try {
      await restore(one, planOf(one.over));
      expect(fs.readFileSync(join(one.over, 'srv/part/on/disk'), 'utf8')).toBe('saved');
      expect(fs.readdirSync(join(one.over, 'srv/part'))).toEqual(['on']);
      fs.rmSync(join(other.over, 'srv/lib'));
      fs.symlinkSync('part', join(other.over, 'srv/lib'));
      const before = standing(other.over);
      expect(await refusalOf(restoreOutcome(other))).toMatchObject({ code: 'place-elsewhere' });
      expect(standing(other.over)).toEqual(before);
    } finally {
      for (const { over } of [one, other]) execFileSync('umount', [join(over, 'srv/part')]);
    }
  });

  test.skipIf(!isRoot)('refuses a file that something is mounted on, and touches nothing', async () => {
    const one = world();
    const before = standing(one.over);
    const first = join(one.over, 'srv/first');
    execFileSync('mount', ['--bind', join(one.over, 'srv/mine'), first]);
    try {
      expect(await refusalOf(restoreOutcome(one))).toMatchObject({
        code: 'place-taken',
        message: '/srv/first has something mounted on it.',
      });
    } finally {
      execFileSync('umount', [first]);
    }
    expect(standing(one.over)).toEqual(before);
  });

  const restoreOutcome = async (one: World, stop?: { readonly requested: boolean }) => {
    await restore(one, planOf(one.over), stop ?? { requested: false });
    return { exitCode: 0 as const, summary: '', result: {} };
  };
});

describe('a restore into a folder', () => {
  test('has its name on the disk when it tells that it is done', async () => {
    const to = world();
    const into = join(to.host.root.prefix, 'restored');
    const plan = planOf(into, { how: 'into' });
    const { calls, thrown } = await breakingAt(Number.POSITIVE_INFINITY, 'refused', () => restore(to, plan));
    expect(thrown).toBeUndefined();
    expect(fs.existsSync(join(into, 'srv/first'))).toBe(true);
    const named = calls.lastIndexOf('renameSync');
    // All that is in it, its name, and the folder that holds the name.
    expect(calls.slice(named - 1, named + 2)).toEqual(['spawn', 'renameSync', 'fsyncSync']);
  });
});
