import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { DataSet } from '../../src/agent/entry.ts';
import { rememberFolder, type Standing, standingOfSet, whyHeld } from '../../src/agent/guard.ts';
import { openLiveSet } from '../../src/agent/live-set.ts';
import { readText } from '../../src/host/root.ts';
import { writeState } from '../../src/host/writing.ts';
import { paths } from '../../src/pair/state.ts';
import { placeOf, profile, twoServers, write } from './two-servers.ts';

const set: DataSet = { name: 'admin', path: '/admin', exclude: [], deletions: { percent: 30, files: 1000 } };
const well: Standing = {
  there: 100,
  here: 100,
  vanished: 0,
  explained: 0,
  came: 0,
  lately: 0,
  sameFolder: true,
  heldBefore: undefined,
};

describe('the guard', () => {
  const cases: [what: string, standing: Partial<Standing>, held: RegExp | undefined][] = [
    ['lets an ordinary day pass', { here: 98, vanished: 2 }, undefined],
    ['lets anything pass to an empty server', { there: 0, here: 0 }, undefined],
    ['holds what is empty here', { here: 0, vanished: 100 }, /empty here and holds 100 names/],
    ['holds a single file that is gone', { there: 1, here: 0, vanished: 1 }, /empty/],
    ['holds another folder', { sameFolder: false }, /another folder than before/],
    ['lets the share itself pass', { here: 70, vanished: 30 }, undefined],
    ['holds more than the share', { here: 69, vanished: 31 }, /31 of 100 names vanished within a minute \(31 %/],
    ['takes no share of a few', { there: 20, here: 1, vanished: 19 }, undefined],
    ['holds too many, however small the share', { there: 9000, here: 7999, vanished: 1001 }, /1001 names/],
    [
      'holds a folder that is emptied name by name',
      { there: 79, here: 69, vanished: 10, lately: 21 },
      /31 of 100 names/,
    ],
    ['lets what was removed lately rest', { there: 40, here: 60, lately: 60 }, undefined],
    ['takes a rename for no loss', { vanished: 90, came: 90 }, undefined],
    ['takes a rename that was cut off half-way for no loss', { vanished: 40, explained: 38 }, undefined],
    [
      'stays held when something came since',
      { here: 99, vanished: 1, came: 5, heldBefore: 'once empty' },
      /once empty/,
    ],
    ['ends when everything is back', { heldBefore: 'once empty' }, undefined],
  ];
  it.each(cases)('%s', (_what, standing, held) => {
    const why = whyHeld(set, { ...well, ...standing });
    if (held === undefined) expect(why).toBeUndefined();
    else expect(why).toMatch(held);
  });

  it('knows a folder again, over a boot with other device numbers too, and tells another one', async () => {
    const { one } = twoServers();
    write(one, 'a', 'x');
    let boot = 'first';
    const host = { ...one, system: { ...one.system, bootId: () => boot } };
    const [admin] = profile.dataSets;
    if (!admin) throw new Error('no data set');
    const live = openLiveSet(host, admin, () => {});
    const isSame = (): boolean => standingOfSet(live.tree).sameFolder;
    expect(isSame()).toBe(true);
    rememberFolder(live.tree);
    expect(isSame()).toBe(true);
    boot = 'second';
    expect(isSame()).toBe(true);
    fs.renameSync(placeOf(one, ''), join(one.root.prefix, 'elsewhere'));
    fs.mkdirSync(placeOf(one, ''));
    expect(isSame()).toBe(false);
    live.close();
  });

  it('tells another file system after a boot, though its root has the same number', async () => {
    const { one } = twoServers();
    write(one, 'a', 'x');
    const [admin] = profile.dataSets;
    if (!admin) throw new Error('no data set');
    const live = openLiveSet(one, admin, () => {});
    const file = `${paths.sync}/admin.folder`;
    // A folder is born when it is made, and only then.
    await new Promise((resolve) => setTimeout(resolve, 20));
    write(one, 'b', 'x');
    rememberFolder(live.tree);
    const [ino = '', , dev = '', birth = ''] = (readText(one.root, file) ?? '').trim().split(' ');
    expect(birth).toMatch(/^[1-9]\d*$/);
    const isSameAs = (...before: string[]): boolean => {
      writeState(one.root, file, `${before.join(' ')}\n`);
      return standingOfSet(live.tree).sameFolder;
    };
    expect(isSameAs(ino, 'another-boot', `${dev}1`, birth)).toBe(true);
    expect(isSameAs(ino, 'another-boot', dev, `${birth}1`)).toBe(false);
    // Noted by a version before, or on a file system that does not know.
    expect(isSameAs(ino, 'another-boot', dev)).toBe(true);
    expect(isSameAs(ino, 'another-boot', dev, '0')).toBe(true);
    live.close();
  });
});
