import * as fs from 'node:fs';
import * as net from 'node:net';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { RunProgram } from '../../src/agent/program.ts';
import { runAgent } from '../../src/agent/run-agent.ts';
import { callAgent, openAgent } from '../../src/agent/socket.ts';
import type { Host } from '../../src/host/system.ts';
import { readAlarms } from '../../src/pair/alarms.ts';
import type { Conflict, PassReport, SetDifference } from '../../src/pair/sync-reports.ts';
import type { SyncStatus } from '../../src/pair/sync-status.ts';
import type { Profile } from '../../src/profile/schema.ts';
import { kept, placeOf, profile, tree, twoServers, write } from './two-servers.ts';
import { until } from './until.ts';

const timing = { retry: 50, settle: 20, heartbeat: 50, reachable: 100, folders: 60_000, compare: 60_000, coalesce: 3 };
const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

function start(host: Host, peer: Host, more: Partial<Profile> = {}, run?: RunProgram): () => Promise<void> {
  const aborter = new AbortController();
  const done = runAgent(
    host,
    { ...profile, ...more },
    {
      ...(run ? { run } : {}),
      signal: aborter.signal,
      log: () => {},
      login: () => openAgent(peer.root),
      timing,
    },
  );
  const stop = async (): Promise<void> => {
    aborter.abort();
    await done;
  };
  stops.push(stop);
  return stop;
}

async function pairOfAgents(): Promise<{ one: Host; two: Host; stopTwo: () => Promise<void> }> {
  const { one, two } = twoServers();
  write(one, 'a', 'of the primary');
  const stopTwo = start(two, one);
  start(one, two);
  await drained(one);
  return { one, two, stopTwo };
}

const drained = (host: Host): Promise<unknown> =>
  until(
    () =>
      callAgent(host, 'syncDrain', { seconds: 5 }).then(
        () => true,
        () => false,
      ),
    (done) => done,
  );

const status = async (host: Host): Promise<SyncStatus> => (await whenUp(host, 'syncStatus')) as SyncStatus;

/** An agent that was just started needs a moment to listen. */
const whenUp = (host: Host, verb: string): Promise<unknown> =>
  until(
    () => callAgent(host, verb).catch(() => undefined),
    (answer) => answer !== undefined,
  );
const conflicts = async (host: Host): Promise<Conflict[]> => (await callAgent(host, 'syncConflicts')) as Conflict[];

describe('two agents', () => {
  it('number every change, and tell when all are acknowledged', async () => {
    const { one, two } = await pairOfAgents();
    for (let file = 0; file < 50; file += 1) write(one, `f${file}`, `${file}`);
    expect(await callAgent(one, 'syncDrain', { seconds: 10 })).toMatchObject({ epoch: 1, seq: 51, acked: 51 });
    expect(tree(two)).toEqual(tree(one));
    expect(await status(one)).toMatchObject({
      seq: 51,
      acked: 51,
      queue: 0,
      sets: [{ name: 'admin', state: 'in step', names: 51, sent: 51, lastMinute: 51, oldest: null }],
    });
    expect(await status(two)).toMatchObject({ role: 'secondary', seq: 51, acked: 51 });
  });

  const edits: Record<string, { edit: (two: Host) => void; lost: [string, string][] }> = {
    'a file': { edit: (two) => fs.writeFileSync(placeOf(two, 'a'), 'edited'), lost: [['a', 'edited']] },
    'a file that was removed': { edit: (two) => fs.rmSync(placeOf(two, 'a')), lost: [] },
    'a file that the primary never had': {
      edit: (two) => write(two, 'own', 'made here'),
      lost: [['own', 'made here']],
    },
  };
  it.each(Object.entries(edits))(
    'bring the primary’s version back over %s, and keep the other',
    async (_name, { edit, lost }) => {
      const { one, two } = await pairOfAgents();
      edit(two);
      await until(
        () => tree(two),
        (found) => JSON.stringify(found) === JSON.stringify({ a: 'of the primary' }),
      );
      expect(kept(two)).toEqual(lost);
      expect((await conflicts(two)).map(({ set, path }) => [set, path])).toEqual(lost.map(([path]) => ['admin', path]));
      for (const { kept: copy } of await conflicts(two))
        expect(fs.readFileSync(join(two.root.prefix, copy), 'latin1')).toBe(lost[0]?.[1]);
      expect(readAlarms(two.root)[0]?.text).toContain('edited on this server');
      expect(tree(one)).toEqual({ a: 'of the primary' });
    },
  );

  it('keep what was edited on the secondary while its agent was away', async () => {
    const { one, two, stopTwo } = await pairOfAgents();
    await stopTwo();
    fs.writeFileSync(placeOf(two, 'a'), 'edited while away');
    write(one, 'a', 'newer');
    start(two, one);
    await drained(one);
    expect(tree(two)).toEqual({ a: 'newer' });
    expect((await conflicts(two)).map(({ path }) => path)).toEqual(['a']);
    expect(kept(two)).toEqual([['a', 'edited while away']]);
  });

  it('call nothing a conflict that the primary itself changed twice', async () => {
    const { one, two } = await pairOfAgents();
    for (const text of ['second', 'third']) {
      write(one, 'a', text);
      await drained(one);
    }
    expect(kept(two).map(([, content]) => content)).toEqual(['of the primary', 'second']);
    expect(await conflicts(two)).toEqual([]);
    expect(readAlarms(two.root)).toEqual([]);
  });

  it('send nothing while paused, and everything after', async () => {
    const { one, two } = await pairOfAgents();
    await callAgent(one, 'syncPause', { by: 'ops' });
    write(one, 'b', 'while paused');
    await until(
      () => status(one),
      ({ state }) => state.startsWith('paused by ops'),
    );
    await new Promise((resolve) => setTimeout(resolve, 200));
    expect(tree(two)).toEqual({ a: 'of the primary' });
    await callAgent(one, 'syncResume');
    await until(
      () => tree(two),
      (found) => found['b'] === 'while paused',
    );
    await until(
      () => status(one),
      ({ state, paused }) => state === 'in step' && paused === null,
    );
  });

  it('carry hard links as they are made, changed and separated, and call none of it an edit', async () => {
    const { one, two } = await pairOfAgents();
    const isOne = (): boolean => fs.lstatSync(placeOf(two, 'a')).ino === fs.lstatSync(placeOf(two, 'b')).ino;
    const across = () =>
      until(
        () => tree(two),
        (now) => JSON.stringify(now) === JSON.stringify(tree(one)),
      );
    fs.linkSync(placeOf(one, 'a'), placeOf(one, 'b'));
    await across();
    expect(isOne()).toBe(true);
    // The event tells of one name, the other one changes with it.
    fs.appendFileSync(placeOf(one, 'b'), ', changed');
    await across();
    await until(isOne, (now) => now);
    fs.rmSync(placeOf(one, 'a'));
    fs.writeFileSync(placeOf(one, 'a'), 'another one');
    await across();
    await drained(one);
    expect(isOne()).toBe(false);
    expect(readAlarms(two.root)).toEqual([]);
    expect(await conflicts(two)).toEqual([]);
  });

  it('let other changes pass a large file, in the order of their numbers', async () => {
    const { one, two } = await pairOfAgents();
    write(one, 'folder/old', 'to go');
    await until(
      () => tree(two)['folder/old'],
      (text) => text === 'to go',
    );
    // Sparse, so that it is quick to make; it goes across in 60 parts.
    fs.mkdirSync(placeOf(one, 'new'));
    fs.closeSync(fs.openSync(placeOf(one, 'new/large'), 'w'));
    fs.truncateSync(placeOf(one, 'new/large'), 60 * 1_048_576);
    const growing = (): boolean =>
      fs.existsSync(placeOf(two, 'new')) &&
      fs.readdirSync(placeOf(two, 'new')).some((name) => name.startsWith('.cmsadm-sync.'));
    await until(growing, (now) => now);
    write(one, 'small', 'passes');
    fs.rmSync(placeOf(one, 'folder'), { recursive: true });
    await until(
      () => [fs.existsSync(placeOf(two, 'small')), fs.existsSync(placeOf(two, 'folder'))].join(),
      (now) => now === 'true,false',
    );
    expect(fs.existsSync(placeOf(two, 'new/large'))).toBe(false);
    // What goes away while it is on its way.
    fs.rmSync(placeOf(one, 'new'), { recursive: true });
    await until(
      () => Object.keys(tree(two)).sort().join(),
      (names) => names === 'a,small',
    );
    expect(await callAgent(one, 'syncDrain', { seconds: 5 })).toMatchObject({ epoch: 1 });
  });

  it('tell the difference without making it smaller', async () => {
    const { one, two } = await pairOfAgents();
    await callAgent(one, 'syncPause', { by: 'ops' });
    write(one, 'new\n', 'x');
    write(one, 'a', 'changed');
    // While it is paused, what waits is counted with each sign of life.
    const waiting = await until(
      () => status(one),
      ({ queue }) => queue === 2,
    );
    const found = (await callAgent(one, 'syncDiff')) as SetDifference[];
    expect(found).toEqual([{ set: 'admin', onlyHere: ['new\\x0a'], different: ['a'], onlyThere: [], more: false }]);
    expect(tree(two)).toEqual({ a: 'of the primary' });
    // Who looks makes nothing younger that waits.
    await new Promise((resolve) => setTimeout(resolve, 200));
    const after = await status(one);
    const [before] = waiting.sets;
    expect(after).toMatchObject({ queue: 2, sets: [{ state: 'sending', oldest: expect.any(String) }] });
    expect(Math.abs(Date.parse(after.sets[0]?.oldest ?? '') - Date.parse(before?.oldest ?? ''))).toBeLessThan(100);
    await callAgent(one, 'syncResume');
    expect((await status(one)).state).not.toContain('paused');
    await until(
      () => tree(two),
      (there) => JSON.stringify(there) === JSON.stringify(tree(one)),
    );
    await until(
      () => status(one),
      ({ state }) => state === 'in step',
    );
  });

  it('hold a set that is emptied name by name, before most of it is gone', async () => {
    const { one, two } = await pairOfAgents();
    for (let file = 0; file < 100; file += 1) write(one, `f${file}`, 'precious');
    await drained(one);
    for (let file = 0; file < 100; file += 1) {
      fs.rmSync(placeOf(one, `f${file}`));
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    await until(
      () => status(one),
      ({ sets }) => sets[0]?.state === 'held',
    );
    expect(Object.keys(tree(two)).length).toBeGreaterThan(65);
    expect(kept(two).length).toBeLessThan(35);
  });

  it('let a big folder be renamed', async () => {
    const { one, two } = await pairOfAgents();
    for (let file = 0; file < 100; file += 1) write(one, `d/f${file}`, 'x');
    await drained(one);
    fs.renameSync(placeOf(one, 'd'), placeOf(one, 'e'));
    await until(
      () => tree(two),
      (there) => JSON.stringify(there) === JSON.stringify(tree(one)),
    );
    expect(readAlarms(one.root)).toEqual([]);
  });

  it('outlive what is no message', async () => {
    const { one } = await pairOfAgents();
    const socket = net.connect(join(one.root.prefix, 'run/cmsadm/agent.sock'));
    socket.on('error', () => {}).resume();
    socket.write('{"id":"x"}\nnot JSON\n');
    await new Promise((resolve) => socket.once('close', resolve));
    expect((await status(one)).role).toBe('primary');
  });

  it('make a full pass when asked, and log it in one line', async () => {
    const { one } = await pairOfAgents();
    const reports = (await callAgent(one, 'syncNow')) as PassReport[];
    expect(reports).toMatchObject([{ set: 'admin', ok: true, why: '', sent: 0, removed: 0, bytes: 0 }]);
    const log = fs.readFileSync(join(one.root.prefix, 'var/log/cmsadm/sync.log'), 'utf8').trim().split('\n');
    expect(log.at(-1)).toMatch(/^\d{4}-\S+Z full pass: ok: admin 0 sent, 0 removed, 0 bytes; \d+\.\d s$/);
  });

  it('carry holes as holes', async () => {
    const { one, two } = await pairOfAgents();
    const place = placeOf(one, 'sparse');
    const file = fs.openSync(place, 'w');
    fs.writeSync(file, 'begin', 0);
    fs.writeSync(file, 'end', 20_000_000);
    fs.closeSync(file);
    await drained(one);
    expect(fs.readFileSync(placeOf(two, 'sparse')).equals(fs.readFileSync(place))).toBe(true);
    expect(fs.statSync(placeOf(two, 'sparse')).blocks * 512).toBeLessThan(2_000_000);
  });

  describe('with programs that apply', () => {
    const [admin] = profile.dataSets;
    const dataSets = [
      { ...admin, apply: { check: ['/bin/check'], run: ['/bin/reload', 'now'], seconds: 60 } },
    ] as Profile['dataSets'];

    it('run them on the secondary after each batch, and only then are in step', async () => {
      const { one, two } = twoServers();
      const ran: string[] = [];
      start(two, one, { dataSets }, async (argv) => {
        ran.push(`${argv.join(' ')} with ${Object.values(tree(two)).join(',')}`);
        return { stdout: '', stderr: '', exitCode: 0 };
      });
      write(one, 'a', 'first');
      start(one, two, { dataSets }, () => Promise.reject(new Error('nothing runs on the primary')));
      await drained(one);
      expect(ran).toEqual(['/bin/check with first', '/bin/reload now with first']);
      write(one, 'a', 'second');
      await drained(one);
      expect(ran.slice(2)).toEqual(['/bin/check with second', '/bin/reload now with second']);
      await callAgent(one, 'syncNow');
      expect(ran).toHaveLength(4);
    });

    it('tell what failed, raise an alarm, and try again until it works', async () => {
      const { one, two } = twoServers();
      let broken = true;
      start(two, one, { dataSets }, async ([program]) =>
        broken && program === '/bin/check'
          ? { stdout: '', stderr: 'line 3 is wrong', exitCode: 1 }
          : { stdout: '', stderr: '', exitCode: 0 },
      );
      write(one, 'a', 'x');
      start(one, two, { dataSets });
      const stopped = await until(
        () => status(one),
        ({ sets }) => sets[0]?.state === 'stopped',
      );
      expect(stopped.sets[0]?.why).toContain('"/bin/check" failed with 1');
      await expect(callAgent(one, 'syncDrain', { seconds: 5 })).rejects.toMatchObject({ code: 'not-in-step' });
      expect(readAlarms(one.root)).toHaveLength(1);
      broken = false;
      await until(
        () => status(one),
        ({ sets, state }) => sets[0]?.state === 'in step' && state === 'in step',
      );
      expect(readAlarms(one.root)).toEqual([]);
    });
  });

  it('carry what a program exports, and import it there', async () => {
    const { one, two } = twoServers();
    const dataSets = [
      {
        name: 'tables',
        path: '/var/lib/cmsadm/exports/tables',
        exclude: [],
        deletions: { percent: 30, files: 1000 },
        exported: { export: ['/bin/dump'], import: ['/bin/load'], every: 1, seconds: 60 },
      },
    ] as Profile['dataSets'];
    let rows = 'one row';
    let loaded = '';
    start(two, one, { dataSets }, async (_argv, { input = '' }) => {
      loaded = fs.readFileSync(input, 'utf8');
      return { stdout: '', stderr: '', exitCode: 0 };
    });
    start(one, two, { dataSets }, async (_argv, { output = '' }) => {
      fs.writeFileSync(output, rows);
      return { stdout: '', stderr: '', exitCode: 0 };
    });
    await until(
      () => loaded,
      (text) => text === 'one row',
    );
    rows = 'two rows';
    await until(
      () => loaded,
      (text) => text === 'two rows',
    );
  });

  const refused: [verb: string, args: object, code: string][] = [
    ['syncNow', {}, 'not-authority'],
    ['syncPause', { by: 'ops' }, 'not-authority'],
    ['syncDrain', { seconds: 1 }, 'not-authority'],
    ['syncRelease', { set: 'admin' }, 'not-authority'],
    ['syncRelease', { set: 'other' }, 'data-set-unknown'],
  ];
  it.each(refused)('refuse %s on the secondary', async (verb, args, code) => {
    const { two } = await pairOfAgents();
    await expect(callAgent(two, verb, args)).rejects.toMatchObject({ code });
  });

  it('refuse to release what is not held, and a second agent', async () => {
    const { one, two } = await pairOfAgents();
    await expect(callAgent(one, 'syncRelease', { set: 'admin' })).rejects.toMatchObject({ code: 'not-held' });
    await expect(
      runAgent(one, profile, { signal: AbortSignal.timeout(1000), log: () => {}, login: () => openAgent(two.root) }),
    ).rejects.toMatchObject({ code: 'agent-running' });
  });

  it('say what to start where none runs', async () => {
    const { one } = twoServers();
    await expect(callAgent(one, 'syncStatus')).rejects.toMatchObject({
      code: 'agent-not-running',
      remedy: expect.stringContaining('systemctl start cmsadm-agent'),
    });
  });

  it('let nobody but root to the socket', async () => {
    const { one } = await pairOfAgents();
    expect(fs.statSync(join(one.root.prefix, 'run/cmsadm/agent.sock')).mode & 0o777).toBe(0o600);
  });
});
