import * as fs from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, describe, expect, it } from 'vitest';
import { type LiveSet, openLiveSet } from '../../src/agent/live-set.ts';
import type { Host } from '../../src/host/system.ts';
import { twoServers } from './two-servers.ts';

const opened: LiveSet[] = [];
afterEach(() => {
  for (const live of opened.splice(0)) live.close();
});

/** A data set with two files, which is watched. */
async function watchedSet(host: Host, name: string) {
  const folder = join(host.root.prefix, name);
  fs.mkdirSync(folder);
  const files = ['a', 'b'].map((file) => fs.openSync(join(folder, file), 'w'));
  const live = openLiveSet(
    host,
    { name, path: `/${name}`, exclude: [], deletions: { percent: 30, files: 1000 } },
    () => {},
  );
  opened.push(live);
  await live.lookAll();
  await settled();
  await live.look();
  /** In turns: the kernel tells twice the same as one event. */
  const burst = (events: number): void => {
    for (let event = 0; event < events; event += 1) fs.writeSync(files[event % 2] ?? 0, 'x', 0);
  };
  return { live, burst, edit: () => fs.writeFileSync(join(folder, 'a'), 'edited') };
}

const settled = (): Promise<void> => sleep(50);

describe('more events at once than the kernel keeps', () => {
  it.each([
    ['in one data set', [20_000]],
    ['in several together, none of which has many itself', [4_000, 4_000, 4_000, 4_000, 4_000]],
  ])('%s have another one compared, whose own event is lost', async (_name, bursts) => {
    const { one } = twoServers();
    const quiet = await watchedSet(one, 'quiet');
    const busy = [];
    for (const [index] of bursts.entries()) busy.push(await watchedSet(one, `busy${index}`));
    expect(quiet.live.isDirty()).toBe(false);
    for (const [index, events] of bursts.entries()) busy[index]?.burst(events);
    quiet.edit();
    await settled();
    expect(quiet.live.isDirty()).toBe(true);
    // It is not told to be in step meanwhile.
    expect(quiet.live.since()).toBeDefined();
    expect(await quiet.live.look()).toBeUndefined();
    expect(quiet.live.since()).toBeUndefined();
  });

  it('are not what comes one after the other: only what changed is looked at', async () => {
    const { one } = twoServers();
    const [quiet, busy] = [await watchedSet(one, 'quiet'), await watchedSet(one, 'busy')];
    for (let time = 0; time < 5; time += 1) {
      busy.burst(2_000);
      await settled();
    }
    expect(quiet.live.isDirty()).toBe(false);
    expect(await busy.live.look()).toEqual(new Set(['a', 'b']));
  });
});
