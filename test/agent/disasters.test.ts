// What empties a data set without anybody meaning it: each must leave the other server as it is.
import * as fs from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import { openLiveSet } from '../../src/agent/live-set.ts';
import { sendChanges } from '../../src/agent/pass.ts';
import { callAgent } from '../../src/agent/socket.ts';
import type { Host } from '../../src/host/system.ts';
import { readAlarms } from '../../src/pair/alarms.ts';
import { paths } from '../../src/pair/state.ts';
import { profileSchema } from '../../src/profile/schema.ts';
import { quietLine } from './quiet-line.ts';
import { drained, setState, startAgent, status } from './running-agents.ts';
import { kept, pass, placeOf, sessionWith, tree, twoServers, write } from './two-servers.ts';
import { until } from './until.ts';

/** More than 30 % or more than 35 files may not vanish at once. */
const limits = {
  dataSets: v.parse(profileSchema.entries.dataSets, [
    { name: 'admin', path: '/admin', deletions: { percent: 30, files: 35 } },
  ]),
};

const elsewhere = (host: Host): string => join(host.root.prefix, 'elsewhere');
const fill = (host: Host, count: number): void => {
  for (let file = 0; file < count; file += 1) write(host, `f${file}`, `precious ${file}`);
};

/** A pair in step, with so many files. */
async function pairWith(count: number) {
  const { one, two } = twoServers();
  fill(one, count);
  const stopTwo = startAgent(two, one, limits);
  const stopOne = startAgent(one, two, limits);
  await drained(one);
  return { one, two, stopOne, stopTwo, before: tree(two) };
}

/** That nothing of it reached the other server, and that it is said. */
async function expectKept(one: Host, two: Host, before: Record<string, string>, says: RegExp): Promise<void> {
  await until(
    async () => (await status(one)).sets[0],
    (set) => set?.state === 'held' || set?.state === 'stopped',
  );
  await callAgent(one, 'syncNow');
  const [set] = (await status(one)).sets;
  expect(set?.why).toMatch(says);
  expect(readAlarms(one.root).map(({ text }) => text)).toEqual([expect.stringMatching(says)]);
  expect(tree(two)).toEqual(before);
  expect(kept(two)).toEqual([]);
}

const moveAway = (one: Host): void => fs.renameSync(placeOf(one, ''), elsewhere(one));
const moveBack = (one: Host): void => {
  fs.rmSync(placeOf(one, ''), { recursive: true, force: true });
  fs.renameSync(elsewhere(one), placeOf(one, '').subarray(0, -1));
};

describe('a source', () => {
  const disasters: Record<string, { happens: (one: Host) => void; says: RegExp; mend?: (one: Host) => void }> = {
    'whose folder is missing': { happens: moveAway, mend: moveBack, says: /is not there/ },
    'whose disk is not mounted: an empty folder appears': {
      happens: (one) => {
        moveAway(one);
        fs.mkdirSync(placeOf(one, ''));
      },
      mend: moveBack,
      says: /another folder than before/,
    },
    'in whose place stands another disk, with other files': {
      happens: (one) => {
        moveAway(one);
        fill(one, 3);
      },
      mend: moveBack,
      says: /another folder than before/,
    },
    'that is emptied': {
      happens: (one) => {
        fs.mkdirSync(elsewhere(one));
        for (const name of fs.readdirSync(placeOf(one, '')))
          fs.renameSync(placeOf(one, name), join(elsewhere(one), name));
      },
      mend: (one) => {
        for (const name of fs.readdirSync(elsewhere(one)))
          fs.renameSync(join(elsewhere(one), name), placeOf(one, name));
      },
      says: /is empty here and holds 25 names|names vanished within a minute/,
    },
  };
  describe.each(Object.entries(disasters))('%s', (_name, { happens, mend, says }) => {
    it('empties nobody while the agent runs, and goes on when everything is back', async () => {
      const { one, two, before } = await pairWith(25);
      // At once, as a mount goes: nothing of it is looked at in between.
      await callAgent(one, 'syncPause', { by: 'test' });
      happens(one);
      await callAgent(one, 'syncResume');
      await expectKept(one, two, before, says);
      mend?.(one);
      await callAgent(one, 'syncNow');
      await setState(one, 'in step');
      expect(tree(two)).toEqual(before);
      expect(readAlarms(one.root)).toEqual([]);
    });

    it('empties nobody when it happens while the agent is stopped', async () => {
      const { one, two, before, stopOne } = await pairWith(25);
      await stopOne();
      happens(one);
      startAgent(one, two, limits);
      await expectKept(one, two, before, says);
    });
  });

  it('that is another folder is not sent where events tell of new versions only', async () => {
    const { one, two } = twoServers();
    fill(one, 30);
    await pass(one, two);
    const session = await sessionWith(two);
    await session.call('agentOpen', { epoch: 1 });
    const [set] = limits.dataSets;
    if (!set) throw new Error('a data set is wanted');
    const live = openLiveSet(one, set, () => {});
    live.tree.uncertain = true;
    await sendChanges(quietLine(session), live, true);
    moveAway(one);
    write(one, 'f1', 'of the factory');
    live.touch(['f1']);
    const { held, sent } = await sendChanges(quietLine(session), live, false);
    live.close();
    expect({ held, sent }).toEqual({ held: expect.stringContaining('another folder'), sent: 0 });
    expect(tree(two)).toMatchObject({ f1: 'precious 1' });
  });

  it('that loses more than its share at once is held', async () => {
    const { one, two, before, stopOne } = await pairWith(100);
    await stopOne();
    for (let file = 0; file < 31; file += 1) fs.rmSync(placeOf(one, `f${file}`));
    startAgent(one, two, limits);
    await expectKept(one, two, before, /31 of 100 names vanished within a minute \(31 %, more than 30 %\)/);
  });

  it('that loses just its share is not', async () => {
    const { one, two, stopOne } = await pairWith(100);
    await stopOne();
    for (let file = 0; file < 30; file += 1) fs.rmSync(placeOf(one, `f${file}`));
    startAgent(one, two, limits);
    await drained(one);
    expect(Object.keys(tree(two))).toHaveLength(70);
  });

  it('that loses more than its count of files is held, however small the share', async () => {
    const { one, two, before, stopOne } = await pairWith(130);
    await stopOne();
    for (let file = 0; file < 36; file += 1) fs.rmSync(placeOf(one, `f${file}`));
    startAgent(one, two, limits);
    await expectKept(one, two, before, /36 names vanished within a minute, more than 35/);
  });

  it('that is held stays so over a restart of either agent, and something new makes the rest no safer', async () => {
    const { one, two, before, stopOne, stopTwo } = await pairWith(100);
    await stopOne();
    for (let file = 0; file < 60; file += 1) fs.rmSync(placeOf(one, `f${file}`));
    const stopAgain = startAgent(one, two, limits);
    await expectKept(one, two, before, /60 of 100/);
    await stopAgain();
    await stopTwo();
    // Now a share of what is left would pass.
    for (let file = 0; file < 45; file += 1) write(one, `new${file}`, 'x');
    startAgent(two, one, limits);
    startAgent(one, two, limits);
    await expectKept(one, two, before, /60 of 100/);
  });

  it('that is released goes on exactly once', async () => {
    const { one, two, stopOne } = await pairWith(100);
    await stopOne();
    for (let file = 0; file < 60; file += 1) fs.rmSync(placeOf(one, `f${file}`));
    startAgent(one, two, limits);
    await setState(one, 'held');
    await callAgent(one, 'syncRelease', { set: 'admin' });
    await drained(one);
    expect(Object.keys(tree(two))).toHaveLength(40);
    await expect(callAgent(one, 'syncRelease', { set: 'admin' })).rejects.toMatchObject({ code: 'not-held' });
    // The next loss is judged anew.
    await callAgent(one, 'syncPause', { by: 'test' });
    for (let file = 60; file < 85; file += 1) fs.rmSync(placeOf(one, `f${file}`));
    await callAgent(one, 'syncResume');
    await setState(one, 'held');
    expect(Object.keys(tree(two))).toHaveLength(40);
  });
});

describe('a secondary', () => {
  it('that is empty since its disk was replaced is filled, and empties nobody', async () => {
    const { one, two, stopTwo, before } = await pairWith(100);
    await stopTwo();
    for (const path of ['admin', paths.sync, paths.kept])
      fs.rmSync(join(two.root.prefix, path), { recursive: true, force: true });
    fs.mkdirSync(join(two.root.prefix, 'admin'));
    startAgent(two, one, limits);
    await until(
      () => tree(two),
      (found) => Object.keys(found).length === 100,
    );
    await drained(one);
    expect(tree(two)).toEqual(before);
    expect(tree(one)).toEqual(before);
    expect([...readAlarms(one.root), ...readAlarms(two.root)]).toEqual([]);
  });

  it.each(['while its agent runs', 'while its agent is stopped'])(
    'whose disk is not mounted takes nothing into the folder below, %s, until it is there again',
    async (when) => {
      const { one, two, stopTwo, before } = await pairWith(25);
      if (when === 'while its agent is stopped') await stopTwo();
      fs.renameSync(join(two.root.prefix, 'admin'), elsewhere(two));
      fs.mkdirSync(join(two.root.prefix, 'admin'));
      if (when === 'while its agent is stopped') startAgent(two, one, limits);
      write(one, 'new', 'x');
      expect((await setState(one, 'held')).sets[0]?.why).toMatch(/on cms2.example.org is another folder than before/);
      await callAgent(one, 'syncNow');
      expect(tree(two)).toEqual({});
      expect(readAlarms(one.root)).toHaveLength(1);
      fs.rmdirSync(join(two.root.prefix, 'admin'));
      fs.renameSync(elsewhere(two), join(two.root.prefix, 'admin'));
      await callAgent(one, 'syncNow');
      await drained(one);
      expect(tree(two)).toEqual({ ...before, new: 'x' });
      expect([...readAlarms(one.root), ...readAlarms(two.root)]).toEqual([]);
    },
  );

  it('that has another disk now is filled once a person says so', async () => {
    const { one, two, before } = await pairWith(25);
    fs.renameSync(join(two.root.prefix, 'admin'), elsewhere(two));
    fs.mkdirSync(join(two.root.prefix, 'admin'));
    await callAgent(one, 'syncNow');
    await setState(one, 'held');
    await callAgent(one, 'syncRelease', { set: 'admin' });
    await drained(one);
    expect(tree(two)).toEqual(before);
    expect(kept(two)).toEqual([]);
    await expect(callAgent(one, 'syncRelease', { set: 'admin' })).rejects.toMatchObject({ code: 'not-held' });
  });

  it('and a primary that are both empty are in step', async () => {
    const { one, two } = await pairWith(0);
    expect((await status(one)).state).toBe('in step');
    expect([tree(one), tree(two), readAlarms(one.root)]).toEqual([{}, {}, []]);
    write(one, 'first', 'x');
    await drained(one);
    expect(tree(two)).toEqual({ first: 'x' });
  });
});
