// A path that is longer than the system takes, as who works below relative folders can make it. (limits.h, PATH_MAX)
import { spawnSync } from 'node:child_process';
import * as fs from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, it } from 'vitest';
import { openLiveSet } from '../../src/agent/live-set.ts';
import { lookAll } from '../../src/agent/look.ts';
import { removeLeftovers } from '../../src/agent/place.ts';
import { callAgent } from '../../src/agent/socket.ts';
import type { Host } from '../../src/host/system.ts';
import { readAlarms } from '../../src/pair/alarms.ts';
import { loginThrough } from './faults.ts';
import { drained, setState, startAgent } from './running-agents.ts';
import { pass, placeOf, profile, tree, twoServers, write } from './two-servers.ts';
import { until } from './until.ts';

const made: Host[] = [];
/** node can't remove them either. @param from the level that goes, with all below it */
const removeDeep = (host: Host, from = 1): void =>
  void spawnSync('find', [placeOf(host, '').toString(), '-mindepth', `${from}`, '-name', 'd*', '-delete']);
afterEach(() => {
  for (const host of made.splice(0)) removeDeep(host);
});

/** A file below 21 folders whose names have 200 bytes each. */
function makeDeep(host: Host): void {
  const script =
    'n=$(printf "d%.0s" $(seq 200)); for i in $(seq 21); do mkdir $n && cd -P $n || exit 1; done; echo x > d';
  expect(spawnSync('sh', ['-c', script], { cwd: placeOf(host, '').toString() }).status).toBe(0);
  made.push(host);
}

it('is told, and all else is carried', async () => {
  const { one, two } = twoServers();
  write(one, 'a', 'text');
  makeDeep(one);
  const { leftOut, failure } = await pass(one, two);
  expect({ leftOut, failure }).toEqual({
    leftOut: [expect.stringMatching(/^d{100}…: its path is longer than the system takes/)],
    failure: undefined,
  });
  expect(tree(two)['a']).toBe('text');
  // As far as it can be named.
  expect(Object.keys(tree(two)).length).toBeGreaterThan(15);
  fs.rmSync(placeOf(one, 'a'));
  expect(await pass(one, two)).toMatchObject({ removed: 1, failure: undefined });
});

it('is one alarm of the agent until it is gone; what changes meanwhile is carried', async () => {
  const { one, two } = twoServers();
  write(one, 'a', 'text');
  startAgent(two, one);
  let compared = 0;
  const counted = loginThrough(two, (verb, call) => {
    if (verb === 'agentDigests') compared += 1;
    return call();
  });
  startAgent(one, two, {}, undefined, {}, counted);
  await drained(one);
  makeDeep(one);
  await setState(one, 'stopped');
  for (const text of ['b', 'c', 'd']) {
    write(one, 'a', text);
    await until(
      () => tree(two)['a'],
      (found) => found === text,
    );
  }
  // Only the full pass at the start.
  expect(compared).toBe(1);
  write(one, 'a', 'changed');
  await until(
    () => tree(two)['a'],
    (text) => text === 'changed',
  );
  await expect(callAgent(one, 'syncDrain', { seconds: 5 })).rejects.toMatchObject({ code: 'not-in-step' });
  await sleep(300);
  expect(readAlarms(one.root).map(({ text }) => text)).toEqual([
    expect.stringContaining('longer than the system takes'),
  ]);
  removeDeep(one, 15);
  await setState(one, 'in step');
  expect(tree(two)).toEqual(tree(one));
  expect(readAlarms(one.root)).toEqual([]);
});

it('is met by find(1) as well, and is in the way of no receiver', async () => {
  const { one } = twoServers();
  const [set] = profile.dataSets;
  if (!set) throw new Error('the profile has no data set');
  const live = openLiveSet(one, set, () => {});
  await live.lookAll();
  makeDeep(one);
  const watching = { onFolder: () => {}, isWatched: () => true };
  for (let look = 0; look < 2; look += 1) {
    await lookAll(live.tree, watching, () => {}, 0);
    expect(live.tree.tooLong.size).toBeGreaterThan(0);
  }
  live.close();
  expect(() => removeLeftovers(one, set)).not.toThrow();
});
