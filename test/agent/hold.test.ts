import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { runAgent } from '../../src/agent/run-agent.ts';
import { callAgent, openAgent } from '../../src/agent/socket.ts';
import type { Host } from '../../src/host/system.ts';
import { paths } from '../../src/pair/state.ts';
import type { SyncStatus } from '../../src/pair/sync-status.ts';
import type { Profile } from '../../src/profile/schema.ts';
import { placeOf, profile, tree, twoServers, write } from './two-servers.ts';
import { until } from './until.ts';

const timing = { retry: 50, settle: 20, heartbeat: 50, reachable: 100, folders: 60_000, compare: 60_000, coalesce: 3 };
const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

function start(
  host: Host,
  peer: Host,
  dataSets = profile.dataSets,
): { readonly lines: string[]; stop(): Promise<void> } {
  const aborter = new AbortController();
  const lines: string[] = [];
  const log = (line: string): void => void lines.push(line);
  const done = runAgent(
    host,
    { ...profile, dataSets },
    { signal: aborter.signal, log, login: () => openAgent(peer.root), timing },
  );
  const stop = async (): Promise<void> => {
    aborter.abort();
    await done;
  };
  stops.push(stop);
  return { lines, stop };
}

const stateIs = (host: Host, wanted: (status: SyncStatus) => boolean): Promise<SyncStatus | undefined> =>
  until(
    () => callAgent(host, 'syncStatus').catch(() => undefined) as Promise<SyncStatus | undefined>,
    (status) => status !== undefined && wanted(status),
  );
const inStep = (host: Host): Promise<unknown> => stateIs(host, ({ state }) => state === 'in step');

/** A pair in step with sixty files, held for the restore r1, which then removes most of them. */
async function restored() {
  const { one, two } = twoServers();
  for (let file = 0; file < 60; file += 1) write(one, `f${file}`, 'x');
  start(two, one);
  const agent = start(one, two);
  await inStep(one);
  await callAgent(one, 'syncHold', { tag: 'r1', by: 'ops' });
  for (let file = 0; file < 50; file += 1) fs.rmSync(placeOf(one, `f${file}`));
  write(one, 'restored', 'from the backup');
  return { one, two, agent };
}
const passes = (host: Host): string[] =>
  fs.readFileSync(join(host.root.prefix, paths.syncLog), 'utf8').trim().split('\n');

describe('a restore', () => {
  it('holds the sync, and ends with one full pass in which the guard lets go what it removed', async () => {
    const { one, two, agent } = await restored();
    await stateIs(
      one,
      ({ state, restoring }) => state.startsWith('held for the restore r1 by ops') && restoring?.tag === 'r1',
    );
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(Object.keys(tree(two))).toHaveLength(60);
    for (const [verb, args] of [
      ['syncNow', {}],
      ['syncDrain', { seconds: 5 }],
      ['syncResume', {}],
      ['syncResume', { tag: 'r2' }],
      ['syncHold', { tag: 'r2', by: 'ops' }],
    ] as const)
      await expect(callAgent(one, verb, args), verb).rejects.toMatchObject({
        code: 'sync-held',
        remedy: expect.stringContaining('cmsadm sync resume --tag r1'),
      });
    const before = passes(one).length;
    expect(await callAgent(one, 'syncResume', { tag: 'r1' })).toMatchObject([{ ok: true, sent: 1, removed: 50 }]);
    expect(tree(two)).toEqual(tree(one));
    await inStep(one);
    expect(passes(one).slice(before)).toEqual([expect.stringMatching(/ full pass after the restore r1: ok: /)]);
    expect(agent.lines).toContain('event sync-released: the restore r1 has ended with a full pass');
    await expect(callAgent(one, 'syncResume', { tag: 'r1' })).rejects.toMatchObject({ code: 'restore-unknown' });
    // Once: what vanishes after that is held as ever.
    for (let file = 50; file < 60; file += 1) fs.rmSync(placeOf(one, `f${file}`));
    fs.rmSync(placeOf(one, 'restored'));
    await stateIs(one, ({ sets }) => sets[0]?.state === 'held');
  });

  it('is held over a restart', async () => {
    const { one, two, agent } = await restored();
    await agent.stop();
    start(one, two);
    await stateIs(one, ({ state }) => state.startsWith('held for the restore r1'));
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(Object.keys(tree(two))).toHaveLength(60);
    await callAgent(one, 'syncResume', { tag: 'r1' });
    expect(tree(two)).toEqual(tree(one));
  });

  it('stays held where its full pass was not whole', async () => {
    const { one, two } = await restored();
    fs.renameSync(join(two.root.prefix, 'admin'), join(two.root.prefix, 'away'));
    await expect(callAgent(one, 'syncResume', { tag: 'r1' })).rejects.toMatchObject({ code: 'not-in-step' });
    await stateIs(one, ({ restoring }) => restoring?.tag === 'r1');
    fs.renameSync(join(two.root.prefix, 'away'), join(two.root.prefix, 'admin'));
    await callAgent(one, 'syncResume', { tag: 'r1' });
    expect(tree(two)).toEqual(tree(one));
  });

  it('does not end a pause, and is not ended by one', async () => {
    const { one } = await restored();
    await callAgent(one, 'syncPause', { by: 'bob' });
    await expect(callAgent(one, 'syncResume', { tag: 'r1' })).rejects.toMatchObject({ code: 'sync-paused' });
    await callAgent(one, 'syncResume');
    await stateIs(one, ({ state, paused }) => paused === null && state.startsWith('held for the restore r1'));
  });

  it('is held on the primary only', async () => {
    const { two } = await restored();
    await expect(callAgent(two, 'syncHold', { tag: 'r1', by: 'ops' })).rejects.toMatchObject({ code: 'not-authority' });
  });

  const other = { ...profile.dataSets[0], name: 'other', path: '/other' } as Profile['dataSets'][number];
  /** A second data set, whose disk is gone: an empty folder stands in its place. */
  async function withLostDisk(whenLost: 'before' | 'after') {
    const { one, two } = twoServers();
    const dataSets = [...profile.dataSets, other];
    const place = (host: Host, name: string): string => join(host.root.prefix, name);
    for (const host of [one, two]) fs.mkdirSync(place(host, 'other'));
    for (let file = 0; file < 30; file += 1) {
      write(one, `f${file}`, 'x');
      fs.writeFileSync(place(one, `other/f${file}`), 'x');
    }
    start(two, one, dataSets);
    start(one, two, dataSets);
    await stateIs(one, ({ sets }) => sets.every(({ state, names }) => state === 'in step' && names === 30));
    const lose = (): void => {
      fs.renameSync(place(one, 'other'), place(one, 'disk'));
      fs.mkdirSync(place(one, 'other'));
    };
    if (whenLost === 'before') {
      lose();
      await callAgent(one, 'syncNow');
      await stateIs(one, ({ sets }) => sets[1]?.state === 'held');
    }
    await callAgent(one, 'syncHold', { tag: 'r1', by: 'ops' });
    if (whenLost === 'after') lose();
    for (let file = 0; file < 25; file += 1) fs.rmSync(placeOf(one, `f${file}`));
    return { one, two, place };
  }

  it.each(['before', 'after'] as const)('never lets go a data set whose disk was lost %s it', async (whenLost) => {
    const { one, two, place } = await withLostDisk(whenLost);
    const isWhole = (): boolean => fs.readdirSync(place(two, 'other')).length === 30;
    expect(await callAgent(one, 'syncResume', { tag: 'r1' })).toMatchObject([
      { set: 'admin', ok: true, removed: 25 },
      { set: 'other', ok: false, removed: 0, why: expect.stringContaining('other is held') },
    ]);
    expect(tree(two)).toEqual(tree(one));
    // The restore is over; this set waits for its disk, or for a person.
    await stateIs(one, ({ sets, restoring }) => restoring === undefined && sets[1]?.state === 'held');
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(isWhole()).toBe(true);
    await callAgent(one, 'syncRelease', { set: 'other' });
    expect(isWhole()).toBe(false);
  });

  it('never lets go what was held before it, whatever it restored', async () => {
    const { one, two } = twoServers();
    for (let file = 0; file < 60; file += 1) write(one, `f${file}`, 'x');
    start(two, one);
    start(one, two);
    await inStep(one);
    for (let file = 0; file < 50; file += 1) fs.rmSync(placeOf(one, `f${file}`));
    await stateIs(one, ({ sets }) => sets[0]?.state === 'held');
    await callAgent(one, 'syncHold', { tag: 'r1', by: 'ops' });
    write(one, 'restored', 'from the backup');
    expect(await callAgent(one, 'syncResume', { tag: 'r1' })).toMatchObject([{ ok: false, removed: 0 }]);
    expect(Object.keys(tree(two))).toHaveLength(60);
  });
});
