import * as fs from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import type { AgentOptions } from '../../src/agent/agent.ts';
import { runAgent } from '../../src/agent/run-agent.ts';
import { callAgent, openAgent } from '../../src/agent/socket.ts';
import { beginJournal, decide, note } from '../../src/change/journal.ts';
import { CmsadmError } from '../../src/errors.ts';
import type { Session } from '../../src/host/session.ts';
import type { Host } from '../../src/host/system.ts';
import { writeState } from '../../src/host/writing.ts';
import { readAlarms } from '../../src/pair/alarms.ts';
import { paths, readEpoch, readPair } from '../../src/pair/state.ts';
import { readStatus } from '../../src/pair/sync-status.ts';
import { cms2, kept, pairAt, placeOf, profile, savePair, sessionWith, tree, twoServers, write } from './two-servers.ts';
import { until } from './until.ts';

const fast = { retry: 50, settle: 20, heartbeat: 100, reachable: 100, folders: 60_000, compare: 60_000, coalesce: 5 };

type Running = { readonly host: Host; readonly lines: string[]; stop(): Promise<void> };
const running: Running[] = [];
afterEach(async () => {
  for (const agent of running.splice(0)) await agent.stop();
});

function start(host: Host, peer: Host | (() => Promise<Session>), timing: AgentOptions['timing'] = {}): Running {
  const lines: string[] = [];
  const aborter = new AbortController();
  const dial = (to: Host): Promise<Session> =>
    running.some(({ host: other }) => other === to) ? openAgent(to.root) : sessionWith(to);
  const login = typeof peer === 'function' ? peer : () => dial(peer);
  const done = runAgent(host, profile, {
    signal: aborter.signal,
    log: (line) => lines.push(line),
    login,
    timing: { ...fast, ...timing },
  });
  const agent = {
    host,
    lines,
    stop: async () => {
      aborter.abort();
      await done;
    },
  };
  running.push(agent);
  return agent;
}

const state = (host: Host) => () => readStatus(host.root)?.state;
const inStep = (host: Host): Promise<unknown> => until(state(host), (text) => text === 'in step');
const sameTrees = (one: Host, two: Host): Promise<unknown> =>
  until(
    () => [tree(one), tree(two)].map((found) => JSON.stringify(Object.entries(found).sort())),
    ([a, b]) => a === b,
  );

describe('the agent on the primary', () => {
  it('makes a full pass, then carries what happens', async () => {
    const { one, two } = twoServers();
    write(one, 'f/a', 'x');
    const agent = start(one, two);
    await inStep(one);
    expect(tree(two)).toEqual({ f: '/', 'f/a': 'x' });
    expect(agent.lines).toContain('full pass: admin 2 sent, 0 removed, 1 bytes');

    const events: (() => void)[] = [
      () => write(one, 'f/a', 'changed'),
      () => write(one, 'new/deeper/b', 'in new folders'),
      () => write(one, 'new/deeper/c', 'in a folder watched since'),
      () => fs.renameSync(placeOf(one, 'new'), placeOf(one, 'renamed')),
      () => write(one, 'renamed/deeper/c', 'in a renamed folder'),
      () => fs.symlinkSync('f/a', placeOf(one, 'link')),
      () => fs.rmSync(placeOf(one, 'renamed'), { recursive: true }),
      () => fs.chmodSync(placeOf(one, 'f/a'), 0o600),
    ];
    for (const event of events) {
      event();
      await sameTrees(one, two);
    }
    await until(
      () => fs.statSync(placeOf(two, 'f/a')).mode & 0o777,
      (mode) => mode === 0o600,
    );
    const status = await until(
      () => readStatus(one.root),
      (found) => found?.lag !== null && found?.queue === 0,
    );
    expect(status).toMatchObject({ role: 'primary', epoch: 1, state: 'in step', pid: process.pid });
  });

  it('carries a folder that is filled while it comes', async () => {
    const { one, two } = twoServers();
    start(one, two);
    await inStep(one);
    for (let round = 0; round < 20; round += 1) {
      write(one, `d${round}/e/f`, 'x');
      await new Promise((resolve) => setTimeout(resolve, round));
      write(one, `d${round}/e/g`, 'y');
    }
    await sameTrees(one, two);
  });

  it('compares also without events', async () => {
    const { one, two } = twoServers();
    start(one, two, { compare: 50 });
    await inStep(one);
    // Through a second name the folder's watch sees nothing of the first.
    const outside = join(one.root.prefix, 'outside');
    fs.writeFileSync(outside, 'one');
    fs.linkSync(outside, placeOf(one, 'a'));
    await sameTrees(one, two);
    fs.writeFileSync(outside, 'two');
    await sameTrees(one, two);
    expect(tree(two)).toEqual({ a: 'two' });
  });

  it('connects again after the session was lost, and passes again', async () => {
    const { one, two } = twoServers();
    const sessions: Session[] = [];
    const agent = start(one, async () => {
      const session = await sessionWith(two);
      sessions.push(session);
      return session;
    });
    await inStep(one);
    sessions[0]?.close();
    await until(state(one), (text) => text !== 'in step');
    write(one, 'a', 'meanwhile');
    await sameTrees(one, two);
    await until(
      () => agent.lines.filter((line) => line.startsWith('full pass')).length,
      (passes) => passes === 2,
    );
  });

  it('says once that the other server is away', async () => {
    const { one } = twoServers();
    let attempts = 0;
    const agent = start(one, async () => {
      attempts += 1;
      throw new CmsadmError('unreachable', 'No connection.');
    });
    await until(
      () => attempts,
      (count) => count >= 4,
    );
    expect(agent.lines.filter((line) => line.includes('No connection.'))).toHaveLength(1);
  });

  it('holds an empty data set while its session lasts', async () => {
    const { one, two } = twoServers();
    write(one, 'a', 'precious');
    start(one, two);
    await inStep(one);
    fs.rmSync(placeOf(one, 'a'));
    await until(state(one), (text) => text?.includes('held') ?? false);
    expect(tree(two)).toEqual({ a: 'precious' });
    expect(readAlarms(one.root)).toHaveLength(1);
    write(one, 'b', 'one that came since makes the rest no safer');
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(tree(two)).toEqual({ a: 'precious' });
    await callAgent(one, 'syncRelease', { set: 'admin' });
    await inStep(one);
    expect(Object.keys(tree(two))).toEqual(['b']);
    expect(kept(two)).toEqual([['a', 'precious']]);
    expect(readAlarms(one.root)).toEqual([]);
  });

  it('lets a held data set go on when everything is back', async () => {
    const { one, two } = twoServers();
    write(one, 'a', 'precious');
    start(one, two);
    await inStep(one);
    fs.renameSync(placeOf(one, 'a'), join(one.root.prefix, 'a'));
    await until(state(one), (text) => text?.includes('held') ?? false);
    fs.renameSync(join(one.root.prefix, 'a'), placeOf(one, 'a'));
    await inStep(one);
    expect(tree(two)).toEqual({ a: 'precious' });
  });

  it('waits for the confirmation of a change', async () => {
    const { one, two } = twoServers();
    const id = beginJournal(one.root, {
      tag: 'zdt_1_1700000000',
      step: 'change',
      part: 'peer',
      operation: 'reverse roles',
      operator: 'root',
      server: 'cms1.example.org',
      at: '2026-01-01T00:00:00.000Z',
      files: [],
      madeFolders: [],
      services: { reload: [], restart: [], enable: [], start: [], stop: [], affecting: [], seconds: 1 },
      afterwards: { disableUnits: [], removeFiles: [], removeProgram: false },
    });
    write(one, 'a', 'x');
    start(one, two);
    await until(state(one), (text) => text?.includes('confirmation') ?? false);
    expect(tree(two)).toEqual({});
    decide(one.root, id, 'confirmed');
    note(one.root, id, 'confirmed', 0);
    await inStep(one);
    expect(tree(two)).toEqual({ a: 'x' });
  });

  it('turns round when the roles are reversed', async () => {
    const { one, two } = twoServers();
    write(one, 'a', 'x');
    start(one, two);
    start(two, one);
    await inStep(one);
    for (const host of [one, two]) savePair(host, pairAt(2, cms2));
    await inStep(two);
    write(two, 'b', 'from the new primary');
    await sameTrees(one, two);
    expect(readStatus(one.root)).toMatchObject({ role: 'secondary', epoch: 2 });
    expect(readAlarms(one.root)).toEqual([]);
  });
});

describe('an old primary that comes back', () => {
  it('adopts the newer pair, pushes nothing and says what differs', async () => {
    const { one, two } = twoServers();
    write(one, 'same', 'x');
    write(one, 'both', 'old');
    write(one, 'mine\n', 'only on the old primary');
    write(two, 'both', 'new');
    write(two, 'theirs', 'only on the new primary');
    fs.writeFileSync(placeOf(two, 'same'), 'x', { mode: 0o640 });
    const { atime, mtime } = fs.statSync(placeOf(one, 'same'));
    fs.utimesSync(placeOf(one, 'same'), atime, mtime);
    fs.utimesSync(placeOf(two, 'same'), atime, mtime);
    savePair(two, pairAt(7, cms2));
    const before = tree(two);
    const agent = start(one, two);
    await until(
      () => readPair(one.root),
      (pair) => pair?.epoch === 7,
    );
    await until(state(one), (text) => text === 'the primary is reachable');
    expect(readPair(one.root)).toEqual(pairAt(7, cms2));
    expect(readEpoch(one.root)).toBe(7);
    expect(tree(two)).toEqual(before);
    const [alarm] = readAlarms(one.root);
    expect(alarm?.text).toBe(
      'cms2.example.org took over the administration while this server was away (epoch 7, here it was 1). ' +
        'Data set admin: only here: mine\\x0a; different: both; only there: theirs.',
    );
    expect(agent.lines).toContain(alarm?.text);
    expect(readStatus(one.root)).toMatchObject({ role: 'secondary', epoch: 7 });
  });

  it('takes the new primary’s data only after somebody decided so, and keeps its own', async () => {
    const { one, two } = twoServers();
    write(one, 'both', 'old');
    write(two, 'both', 'new');
    savePair(two, pairAt(2, cms2));
    start(two, one);
    await until(state(two), (text) => text?.includes('takes no data') ?? false);
    expect(tree(one)).toEqual({ both: 'old' });
    start(one, two);
    await until(state(two), (text) => text?.includes('came back with a change of its own') ?? false);
    expect(tree(one)).toEqual({ both: 'old' });
    await callAgent(two, 'syncKeep', { set: 'admin', server: 'cms2' });
    await inStep(two);
    expect(tree(one)).toEqual({ both: 'new' });
    expect(kept(one)).toEqual([['both', 'old']]);
    await until(
      () => readAlarms(one.root),
      (alarms) => alarms.length === 1,
    );
  });

  it('adopts no pair of other servers', async () => {
    const { one, two } = twoServers();
    savePair(two, pairAt(7, { ...cms2, address: '192.0.2.9' }));
    start(one, two);
    await until(state(one), (text) => text?.includes('other addresses') ?? false);
    expect(readPair(one.root)?.epoch).toBe(1);
  });
});

describe('the agent elsewhere', () => {
  it('asks the primary on the secondary, and notes when it goes and comes', async () => {
    const { one, two } = twoServers();
    let away = false;
    const agent = start(two, async () => {
      if (away) throw new CmsadmError('unreachable', 'No connection.');
      return sessionWith(one);
    });
    const secondary = (text: string) => `secondary, epoch 1: ${text}`;
    await until(state(two), (text) => text === 'the primary is reachable');
    away = true;
    await until(state(two), (text) => text?.includes('not reachable') ?? false);
    away = false;
    await until(state(two), (text) => text === 'the primary is reachable');
    expect(agent.lines).toEqual([
      secondary('connecting to the other server'),
      secondary('the primary is reachable'),
      secondary('the primary is not reachable: No connection.'),
      secondary('the primary is reachable'),
    ]);
  });

  it('logs in to no primary that it hears', async () => {
    const { one, two } = twoServers();
    let logins = 0;
    const nobody = async (): Promise<Session> => {
      logins += 1;
      throw new CmsadmError('unreachable', 'No connection.');
    };
    const calm = { heartbeat: 500 };
    start(two, nobody, calm);
    await until(state(two), (text) => text?.includes('not reachable') ?? false);
    const primary = start(one, two, calm);
    await until(state(two), (text) => text === 'the primary is reachable');
    const before = logins;
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect([logins, readStatus(two.root)?.state]).toEqual([before, 'the primary is reachable']);
    await primary.stop();
    await until(state(two), (text) => text?.includes('not reachable') ?? false);
  });

  it('idles without a pair and begins when there is one', async () => {
    const { one, two } = twoServers();
    fs.rmSync(join(one.root.prefix, paths.pair));
    write(one, 'a', 'x');
    start(one, two, { retry: 60_000 });
    await until(state(one), (text) => text === 'this server belongs to no pair');
    savePair(one, pairAt(1));
    await inStep(one);
    expect(tree(two)).toEqual({ a: 'x' });
  });

  it('outlives a damaged pair file and tells it', async () => {
    const { one, two } = twoServers();
    writeState(one.root, paths.pair, 'not JSON');
    start(one, two);
    await until(state(one), (text) => text === '/var/lib/cmsadm/pair.json is damaged.');
    savePair(one, pairAt(1));
    await inStep(one);
  });

  it('stops at the signal and says so', async () => {
    const { one, two } = twoServers();
    const agent = start(one, two);
    await inStep(one);
    await agent.stop();
    expect(readStatus(one.root)?.state).toBe('stopped');
  });
});
