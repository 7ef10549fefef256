// What somebody edits on the secondary, where no single events tell of it.
import fs, * as files from 'node:fs';
import { syncBuiltinESMExports } from 'node:module';
import { describe, expect, it } from 'vitest';
import { callAgent } from '../../src/agent/socket.ts';
import type { Host } from '../../src/host/system.ts';
import { writeState } from '../../src/host/writing.ts';
import { readAlarms } from '../../src/pair/alarms.ts';
import { paths } from '../../src/pair/state.ts';
import type { Conflict } from '../../src/pair/sync-reports.ts';
import { drained, startAgent, status } from './running-agents.ts';
import { kept, placeOf, tree, twoServers, write } from './two-servers.ts';
import { until } from './until.ts';

const same = (one: Host, two: Host): Promise<unknown> =>
  until(
    () => JSON.stringify(Object.entries(tree(two)).sort()),
    (found) => found === JSON.stringify(Object.entries(tree(one)).sort()),
  );

describe('edits on the secondary', () => {
  it('in a burst of more events than are counted one by one are noticed, kept and replaced', async () => {
    const { one, two } = twoServers();
    const names = Array.from({ length: 250 }, (_, index) => `f/${index}`);
    for (const name of names) write(one, name, 'shared');
    write(one, 'gone', 'shared');
    startAgent(two, one);
    startAgent(one, two);
    await drained(one);
    // What was received is looked at.
    await until(
      () => status(two),
      ({ sets }) => sets[0]?.oldest === null,
    );
    files.rmSync(placeOf(two, 'gone'));
    write(two, 'own', 'made here');
    for (let round = 0; round < 28; round += 1)
      for (const name of names) files.writeFileSync(placeOf(two, name), `edited ${round}`);
    await same(one, two);
    await drained(one);
    expect(((await callAgent(two, 'syncConflicts')) as Conflict[]).length).toBe(names.length + 1);
    expect(readAlarms(two.root).map(({ text }) => text)).toMatchObject([
      expect.stringContaining('edited on this server'),
    ]);
  }, 60_000);

  it('in a folder that goes on the primary before it heard of them are kept, and the folder goes', async () => {
    const { one, two } = twoServers();
    write(one, 'd/e/shared', 'shared');
    write(one, 'other', 'x');
    startAgent(two, one);
    startAgent(one, two, {}, undefined, { heartbeat: 500 });
    await drained(one);
    await until(
      () => status(two),
      ({ sets }) => sets[0]?.oldest === null,
    );
    write(two, 'd/e/own', 'made here');
    files.rmSync(placeOf(one, 'd'), { recursive: true });
    await until(
      () => callAgent(two, 'syncConflicts'),
      (found) => (found as Conflict[]).length === 1,
    );
    await same(one, two);
    expect(kept(two).map(([, content]) => content)).toContain('made here');
  });

  it('are noticed by the times of folders where none can be watched', async () => {
    const { watch } = fs;
    // No watches left. (inotify(7), ENOSPC)
    fs.watch = (() => {
      throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC', syscall: 'watch' });
    }) as typeof watch;
    syncBuiltinESMExports();
    try {
      const { one, two } = twoServers();
      write(one, 'f/a', 'shared');
      startAgent(two, one, {}, undefined, { compare: 100 });
      startAgent(one, two);
      await drained(one);
      await until(
        () => status(two),
        ({ sets }) => sets[0]?.oldest === null,
      );
      write(two, 'f/own', 'made here');
      await same(one, two);
    } finally {
      fs.watch = watch;
      syncBuiltinESMExports();
    }
  });

  it('are not what rsync left behind when its session was lost', async () => {
    const { one, two } = twoServers();
    write(one, 'a', 'shared');
    startAgent(two, one);
    const stop = startAgent(one, two);
    await drained(one);
    await stop();
    // As in the middle of a bulk transfer whose sender went away.
    writeState(two.root, paths.bulkConfig, '# no data set\n');
    for (let file = 0; file < 20; file += 1)
      for (const host of [one, two]) {
        write(host, `b${file}`, 'brought');
        files.utimesSync(placeOf(host, `b${file}`), 1_700_000_000, 1_700_000_000);
      }
    await until(
      () => status(two),
      ({ sets }) => sets[0]?.oldest !== null,
    );
    startAgent(one, two);
    await drained(one);
    await until(
      () => status(two),
      ({ sets }) => sets[0]?.oldest === null,
    );
    expect(tree(two)).toEqual(tree(one));
    expect(readAlarms(two.root)).toEqual([]);
    expect(await callAgent(two, 'syncConflicts')).toEqual([]);
  });
});
