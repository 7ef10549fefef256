import * as fs from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { describe, expect, it, vi } from 'vitest';
import { forgetConflicts, readConflicts, recordConflict } from '../../src/agent/conflicts.ts';
import { keep, pruneKept } from '../../src/agent/kept.ts';
import { keepPruning } from '../../src/agent/prune.ts';
import { callAgent } from '../../src/agent/socket.ts';
import type { Host } from '../../src/host/system.ts';
import { raiseAlarm, readAlarms } from '../../src/pair/alarms.ts';
import { paths } from '../../src/pair/state.ts';
import { idleAgent } from './faults.ts';
import { drained, startAgent, status } from './running-agents.ts';
import { kept, placeOf, profile, tree, twoServers, write } from './two-servers.ts';
import { until } from './until.ts';

const DAY = 86_400_000;
const OLD = '20200101T000000Z';

function adminSet() {
  const [set] = profile.dataSets;
  if (!set) throw new Error('the profile has no data set');
  return set;
}

/** A copy that was kept, under the time that its folder tells, and the conflict that tells of it. */
function copy(host: Host, time: string, path = 'sub/a'): void {
  const place = join(host.root.prefix, paths.kept, 'admin', time, path);
  fs.mkdirSync(join(place, '..'), { recursive: true });
  fs.writeFileSync(place, 'lost');
  recordConflict(host, adminSet(), path, 'anna', `${paths.kept}/admin/${time}/${path}`);
}

const shifted = (host: Host, by: () => number): Host => ({
  ...host,
  system: { ...host.system, clock: () => Date.now() + by() },
});
const timesIn = (host: Host): string[] => fs.readdirSync(join(host.root.prefix, paths.kept, 'admin')).sort();

// A server that starts with its clock far in the past (an empty battery) until it is put right: both clocks jump.
it('what was kept while the clock was years behind stays when that is put right', async () => {
  const { two } = twoServers();
  copy(two, new Date().toISOString().slice(0, 19).replaceAll(/[-:]/g, '').concat('Z'));
  const now = Date.now;
  let ahead = 0;
  const clock = (): number => now() + ahead;
  const spied = vi.spyOn(Date, 'now').mockImplementation(clock);
  const stop = new AbortController();
  const host = { ...two, system: { ...two.system, clock } };
  const agent = idleAgent(host, profile, { signal: stop.signal, timing: { prune: 40 } });
  const pruning = keepPruning(agent, stop.signal);
  try {
    await sleep(20);
    ahead = 20 * 365 * DAY;
    await sleep(400);
    expect(timesIn(two)).toHaveLength(1);
    expect(readConflicts(two)).toHaveLength(1);
  } finally {
    spied.mockRestore();
    stop.abort();
    await pruning;
  }
});

describe('kept copies', () => {
  it('go when they are old by their name and by the file system', async () => {
    const { two } = twoServers();
    for (const time of [OLD, `${OLD}-1`, '20990101T000000Z', 'by-hand']) copy(two, time);
    // A moment later, by both.
    expect(
      await pruneKept(
        shifted(two, () => 1),
        0,
      ),
    ).toBe(2);
    expect(timesIn(two)).toEqual(['20990101T000000Z', 'by-hand']);
  });

  it('stay where only their name makes them old: a clock was wrong when they were kept', async () => {
    const { two } = twoServers();
    write(two, 'a', 'lost');
    await keep(
      shifted(two, () => -40 * DAY),
      adminSet(),
      'a',
      placeOf(two, 'a'),
    );
    expect(await pruneKept(two, 30)).toBe(0);
    expect(kept(two)).toEqual([['a', 'lost']]);
  });

  it('stay where the clock is wrong now', async () => {
    const { two } = twoServers();
    write(two, 'a', 'lost');
    await keep(two, adminSet(), 'a', placeOf(two, 'a'));
    expect(
      await pruneKept(
        shifted(two, () => 40 * DAY),
        30,
      ),
    ).toBe(0);
    expect(kept(two)).toHaveLength(1);
  });

  it('that are gone take their conflicts along, and no others', async () => {
    const { two } = twoServers();
    copy(two, OLD);
    copy(two, '20990101T000000Z', 'b');
    await pruneKept(two, 0);
    expect(forgetConflicts(two)).toBe(1);
    recordConflict(two, adminSet(), 'c', 'anna', `${paths.kept}/admin/20990101T000000Z/c`);
    expect(readConflicts(two).map(({ path }) => path)).toEqual(['b', 'c']);
    const { mode } = fs.statSync(join(two.root.prefix, paths.sync, 'conflicts.jsonl'));
    expect(mode & 0o7777).toBe(0o600);
  });
});

describe('a record', () => {
  // Letters whose last byte alone would be a quote, a line break, a backslash.
  const name = 'ü 漢 Ċ Ŝ 😀';
  it('of a conflict holds any letter', () => {
    const { two } = twoServers();
    const path = Buffer.from(name).toString('latin1');
    recordConflict(two, adminSet(), path, 'anna', `${paths.kept}/admin/${OLD}/${path}`);
    expect(readConflicts(two)).toMatchObject([{ path: name, owner: 'anna' }]);
    fs.appendFileSync(join(two.root.prefix, paths.sync, 'conflicts.jsonl'), '{"torn{"id":"x"}\n');
    expect(readConflicts(two)).toHaveLength(1);
  });

  it('of an alarm does, too', () => {
    const { two } = twoServers();
    raiseAlarm(two.root, name, 0);
    fs.appendFileSync(join(two.root.prefix, paths.alarms), '{"at":"torn{"at":"x"}\n');
    expect(readAlarms(two.root)).toEqual([{ at: '1970-01-01T00:00:00.000Z', text: name }]);
  });
});

describe('the agent', () => {
  it.each(['primary', 'secondary', 'no pair'])('prunes as %s, and tells of no conflict that is gone', async (role) => {
    const { one, two } = twoServers();
    const host = role === 'primary' ? one : two;
    if (role === 'no pair') fs.rmSync(join(two.root.prefix, paths.pair));
    copy(host, OLD);
    startAgent(two, one, { keepDays: 0 }, undefined, { prune: 30 });
    if (role !== 'no pair') startAgent(one, two, { keepDays: 0 }, undefined, { prune: 30 });
    await until(
      () => timesIn(host),
      (times) => times.length === 0,
    );
    expect(
      await until(
        () => callAgent(host, 'syncConflicts'),
        (told) => JSON.stringify(told) === '[]',
      ),
    ).toEqual([]);
    expect((await status(host)).conflicts).toBe(0);
  });

  it('prunes nothing while its clock jumps', async () => {
    const { one, two } = twoServers();
    copy(two, OLD);
    let ahead = 0;
    let isJumping = true;
    // At each look at it.
    const jump = (): number => {
      if (isJumping) ahead += DAY;
      return ahead;
    };
    startAgent(shifted(two, jump), one, { keepDays: 0 }, undefined, { prune: 30 });
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(timesIn(two)).toEqual([OLD]);
    isJumping = false;
    await until(
      () => timesIn(two),
      (times) => times.length === 0,
    );
  });

  it('lives on with an edit of any letter on the secondary', async () => {
    const { one, two } = twoServers();
    write(one, 'a', 'x');
    startAgent(two, one);
    startAgent(one, two);
    await drained(one);
    fs.writeFileSync(join(two.root.prefix, 'admin', '漢'), 'made here');
    await until(
      () => tree(two),
      (found) => Object.keys(found).length === 1,
    );
    expect(await callAgent(two, 'syncConflicts')).toMatchObject([{ path: '漢' }]);
  });
});
