// What the agent does where the kernel has no watches left. (inotify(7), ENOSPC)
import fs from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { afterEach, expect, it } from 'vitest';
import type { Agent } from '../../src/agent/agent.ts';
import { callAgent } from '../../src/agent/socket.ts';
import { makeUnwatched } from '../../src/agent/unwatched.ts';
import type { Host } from '../../src/host/system.ts';
import { readAlarms } from '../../src/pair/alarms.ts';
import { fullFor, idleAgent } from './faults.ts';
import { drained, startAgent } from './running-agents.ts';
import { placeOf, profile, twoServers, write } from './two-servers.ts';
import { until } from './until.ts';

const { watch } = fs;
const setWatch = (use: (...args: Parameters<typeof watch>) => fs.FSWatcher): void => {
  Object.assign(fs, { watch: use });
  syncBuiltinESMExports();
};
afterEach(() => setWatch(watch));

/** From now on folders whose place ends so can't be watched. */
const failing = (which: RegExp, code: string): void =>
  setWatch((...args) => {
    if (which.test(args[0].toString())) throw Object.assign(new Error(code), { code, syscall: 'watch' });
    return watch(...args);
  });

const alarmsOf = ({ root }: Host): string[] => readAlarms(root).map(({ text }) => text);
const lookAll = async (agent: Agent): Promise<void> => {
  for (const live of agent.sets.values()) await live.lookAll();
};

it.each([
  ['ENOSPC', 'Raise with sysctl: fs.inotify.max_user_watches.'],
  ['EMFILE', 'Raise with sysctl: fs.inotify.max_user_instances.'],
  ['EACCES', 'comparison.'],
])('folders without a watch (%s) are an alarm with their number, until all are watched', async (code, remedy) => {
  const { one } = twoServers();
  for (const folder of ['d0', 'd1', 'd2']) write(one, `${folder}/f`, 'text');
  const lines: string[] = [];
  const agent = idleAgent(one, profile, { log: (line) => void lines.push(line) });
  const look = makeUnwatched(agent);
  failing(/\/d\d$/, code);
  await lookAll(agent);
  look();
  look();
  expect(alarmsOf(one)).toEqual([expect.stringContaining(` 3 folders cannot be watched (${code})`)]);
  expect(alarmsOf(one)[0]).toMatch(new RegExp(`${remedy}$`));
  // One that is gone needs none.
  fs.rmSync(placeOf(one, 'd0'), { recursive: true });
  await lookAll(agent);
  look();
  expect(alarmsOf(one)).toEqual([expect.stringContaining(' 2 folders cannot be watched')]);
  setWatch(watch);
  await lookAll(agent);
  look();
  expect(alarmsOf(one)).toEqual([]);
  expect(lines.map((line) => line.split(':')[0])).toEqual(['event sync-unwatched', 'event sync-watched']);
});

it('a folder that goes while it is to be watched is no alarm', async () => {
  const { one } = twoServers();
  write(one, 'd0/f', 'text');
  const agent = idleAgent(one, profile);
  failing(/\/d\d$/, 'ENOENT');
  await lookAll(agent);
  makeUnwatched(agent)();
  expect(alarmsOf(one)).toEqual([]);
});

it('a disk without room for the alarm takes it later', async () => {
  const { host, makeRoom } = fullFor(twoServers().one, /alarms/);
  write(host, 'd0/f', 'text');
  const agent = idleAgent(host, profile);
  const look = makeUnwatched(agent);
  failing(/\/d\d$/, 'ENOSPC');
  await lookAll(agent);
  look();
  expect(alarmsOf(host)).toEqual([]);
  makeRoom();
  look();
  expect(alarmsOf(host)).toHaveLength(1);
});

it('the agent looks for them by itself', async () => {
  const { one, two } = twoServers();
  write(one, 'd0/f', 'text');
  failing(/\/one\/admin\/d\d$/, 'ENOSPC');
  startAgent(two, one);
  startAgent(one, two, {}, undefined, { stall: 2_000 });
  await drained(one);
  await until(
    () => alarmsOf(one),
    (alarms) => alarms.some((text) => text.includes('fs.inotify.max_user_watches')),
  );
  setWatch(watch);
  await callAgent(one, 'syncNow');
  await until(
    () => alarmsOf(one),
    (alarms) => alarms.length === 0,
  );
});
