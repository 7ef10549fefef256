import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { shiftedClock } from '../../src/agent/shifted-clock.ts';
import { callAgent } from '../../src/agent/socket.ts';
import type { Host } from '../../src/host/system.ts';
import { readAlarms } from '../../src/pair/alarms.ts';
import type { Profile } from '../../src/profile/schema.ts';
import { drained, setState, startAgent, status } from './running-agents.ts';
import { cms2, kept, pairAt, placeOf, savePair, tree, twoServers, write } from './two-servers.ts';
import { until } from './until.ts';

const DAY = 86_400_000;

/** Two agents, each with a clock of its own that can be set. */
async function pairWithClocks(more: Partial<Profile> = {}) {
  const { one, two } = twoServers();
  const ahead = { one: 0, two: 0 };
  const withClock = (host: Host, name: 'one' | 'two'): Host => ({
    ...host,
    system: { ...host.system, clock: () => Date.now() + ahead[name] },
  });
  write(one, 'a', 'first');
  startAgent(withClock(two, 'two'), one, more);
  startAgent(withClock(one, 'one'), two, more);
  await drained(one);
  return { one, two, ahead };
}

const passes = (host: Host): string[] =>
  fs.readFileSync(join(host.root.prefix, 'var/log/cmsadm/sync.log'), 'utf8').trim().split('\n');

describe('two agents whose clocks differ', () => {
  const jumps = [2, -2, 0.4, -0.4].flatMap((days) => (['one', 'two'] as const).map((name) => [name, days] as const));
  it.each(jumps)('stay in step when the clock of %s jumps by %d days', async (name, days) => {
    const { one, two, ahead } = await pairWithClocks();
    ahead[name] = days * DAY;
    write(one, 'a', 'second');
    await drained(one);
    ahead[name] = 0;
    write(one, 'a', 'third');
    await drained(one);
    expect(tree(two)).toEqual({ a: 'third' });
    // Whatever the folders are called, both versions are there.
    expect(
      kept(two)
        .map(([, content]) => content)
        .sort(),
    ).toEqual(['first', 'second']);
    expect([...readAlarms(one.root), ...readAlarms(two.root)]).toEqual([]);
    expect((await status(one)).conflicts).toBe(0);
  });

  it('tell no lag of days, and none below nothing, when a clock jumps while a change waits', async () => {
    const { one, ahead } = await pairWithClocks();
    for (const days of [2, -2, 0]) {
      await callAgent(one, 'syncPause', { by: 'test' });
      // What was on its way when it was paused is done first.
      await until(
        () => status(one),
        ({ state }) => state.startsWith('paused'),
      );
      write(one, 'a', `before ${days}`);
      const { sets, at } = await until(
        () => status(one),
        (found) => found.sets[0]?.oldest !== null,
      );
      expect(Date.parse(at) - Date.parse(sets[0]?.oldest ?? '')).toBeLessThan(5_000);
      ahead.one = days * DAY;
      const later = await status(one);
      const waits = Date.parse(later.at) - Date.parse(later.sets[0]?.oldest ?? '');
      expect(waits).toBeGreaterThanOrEqual(0);
      expect(waits).toBeLessThan(5_000);
      await callAgent(one, 'syncResume');
      await drained(one);
      write(one, 'b', `after ${days}`);
      const { lag } = await until(
        () => status(one),
        (found) => found.lag !== null,
      );
      expect(lag).toBeGreaterThanOrEqual(0);
      expect(lag).toBeLessThan(5_000);
    }
  });

  it('make a full pass at midnight, once, and again where a clock goes back over it', async () => {
    const { one, ahead } = await pairWithClocks();
    await setState(one, 'in step');
    const before = passes(one).length;
    const midnight = new Date();
    midnight.setHours(24, 0, 0, 0);
    ahead.one = midnight.getTime() - Date.now() - 200;
    await until(
      () => passes(one).length,
      (count) => count > before,
    );
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(passes(one)).toHaveLength(before + 1);
    ahead.one = 0;
    await until(
      () => passes(one).length,
      (count) => count === before + 2,
    );
    expect((await status(one)).state).toBe('in step');
  });

  it('make it at the time of the profile, and after a pause over that time', async () => {
    const soon = new Date(Date.now() + 2 * 3_600_000);
    soon.setSeconds(0, 0);
    const fullPass = soon.toTimeString().slice(0, 5);
    const { one, ahead } = await pairWithClocks({ fullPass });
    await setState(one, 'in step');
    const before = passes(one).length;
    const wait = (): Promise<unknown> => new Promise((resolve) => setTimeout(resolve, 300));
    ahead.one = soon.getTime() - Date.now() - 60_000;
    await wait();
    expect(passes(one)).toHaveLength(before);
    ahead.one += 120_000;
    await until(
      () => passes(one).length,
      (count) => count === before + 1,
    );
    // The next day it falls into a pause.
    ahead.one += DAY - 120_000;
    await wait();
    expect(passes(one)).toHaveLength(before + 1);
    await callAgent(one, 'syncPause', { by: 'test' });
    await until(
      () => status(one),
      ({ state }) => state.startsWith('paused'),
    );
    ahead.one += 120_000;
    await wait();
    expect(passes(one)).toHaveLength(before + 1);
    await callAgent(one, 'syncResume');
    await until(
      () => passes(one).length,
      (count) => count > before + 1,
    );
  });

  it('let the authority win whatever the times of files say', async () => {
    const { one, two, ahead } = await pairWithClocks();
    ahead.two = 2 * DAY;
    const [past, future] = [new Date(86_400_000), new Date('2100-01-01')];
    fs.writeFileSync(placeOf(two, 'a'), 'newer on the secondary');
    fs.utimesSync(placeOf(two, 'a'), future, future);
    write(one, 'b', 'older on the primary');
    fs.utimesSync(placeOf(one, 'b'), past, past);
    await until(
      () => tree(two),
      (found) => JSON.stringify(found) === JSON.stringify({ a: 'first', b: 'older on the primary' }),
    );
    expect(tree(one)).toEqual(tree(two));
  });

  it('reverse as ever', async () => {
    const { one, two, ahead } = await pairWithClocks();
    ahead.one = -2 * DAY;
    ahead.two = 2 * DAY;
    for (const host of [one, two]) savePair(host, pairAt(2, cms2));
    await drained(two);
    write(two, 'a', 'from the new primary');
    await drained(two);
    expect(tree(one)).toEqual({ a: 'from the new primary' });
    expect([...readAlarms(one.root), ...readAlarms(two.root)]).toEqual([]);
  });

  const times = [-86_400 * 365, -0.5, 0, 1, 1_234_567_890.999_6, 2_200_000_000, 7_258_118_400];
  it.each(times)('carry a file of %d seconds after 1970, and send it once', async (seconds) => {
    const { one, two } = await pairWithClocks();
    fs.utimesSync(placeOf(one, 'a'), seconds, seconds);
    await drained(one);
    const mtime = (host: Host): number => fs.statSync(placeOf(host, 'a')).mtimeMs;
    expect(Math.abs(mtime(two) - mtime(one))).toBeLessThanOrEqual(1.5);
    expect(await callAgent(one, 'syncNow')).toMatchObject([{ ok: true, sent: 0 }]);
  });
});

describe('a clock that tests shift', () => {
  it('goes as wrong as its file says at that moment, and right without one', () => {
    const { one } = twoServers();
    const file = join(one.root.prefix, 'shift');
    const clock = shiftedClock(() => 1_000_000, file);
    expect(clock()).toBe(1_000_000);
    for (const [text, told] of [
      ['60\n', 1_060_000],
      ['-60', 940_000],
      ['', 1_000_000],
      ['1e3', 1_000_000],
      ['x', 1_000_000],
    ] as const) {
      fs.writeFileSync(file, text);
      expect(clock(), JSON.stringify(text)).toBe(told);
    }
  });
});
