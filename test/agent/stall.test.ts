import { afterEach, describe, expect, it } from 'vitest';
import { runAgent } from '../../src/agent/run-agent.ts';
import { callAgent, openAgent } from '../../src/agent/socket.ts';
import { CmsadmError } from '../../src/errors.ts';
import type { Host } from '../../src/host/system.ts';
import { raiseAlarm, readAlarms } from '../../src/pair/alarms.ts';
import { profile, tree, twoServers, write } from './two-servers.ts';
import { until } from './until.ts';

const timing = {
  ...{ retry: 50, settle: 20, heartbeat: 50, reachable: 100, folders: 60_000, compare: 60_000, coalesce: 3 },
  stall: 200,
};
const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

/** An agent whose way to the other server can be cut. */
function start(host: Host, peer: Host): { readonly lines: string[]; cut(isCut: boolean): void } {
  const aborter = new AbortController();
  const lines: string[] = [];
  let isCut = false;
  let end = (): void => {};
  const done = runAgent(host, profile, {
    signal: aborter.signal,
    log: (line) => void lines.push(line),
    login: async () => {
      if (isCut) throw new CmsadmError('unreachable', 'No connection.');
      const session = await openAgent(peer.root);
      end = session.close;
      return session;
    },
    timing,
  });
  stops.push(async () => {
    aborter.abort();
    await done;
  });
  return {
    lines,
    cut: (now) => {
      isCut = now;
      if (now) end();
    },
  };
}

const stalled = (host: Host): string[] =>
  readAlarms(host.root)
    .map(({ text }) => text)
    .filter((text) => text.startsWith('Admin-sync is stalled:'));
const events = (lines: readonly string[]): string[] =>
  lines.filter((line) => /^event sync-(stalled|recovered)/.test(line)).map((line) => line.split(':')[0] ?? '');

async function inStep(): Promise<{ one: Host; two: Host; agent: ReturnType<typeof start> }> {
  const { one, two } = twoServers();
  write(one, 'a', 'x');
  start(two, one);
  const agent = start(one, two);
  await until(
    () => tree(two),
    (found) => found['a'] === 'x',
  );
  return { one, two, agent };
}

describe('a stalled admin-sync', () => {
  it('is one alarm while something waits, and is over when the other server takes it', async () => {
    const { one, two, agent } = await inStep();
    agent.cut(true);
    write(one, 'b', 'waits');
    await until(
      () => stalled(one),
      (found) => found.length === 1,
    );
    expect(stalled(one)[0]).toContain('(No connection.)');
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(stalled(one)).toHaveLength(1);
    agent.cut(false);
    await until(
      () => stalled(one),
      (found) => found.length === 0,
    );
    // Any answer ends the stall; the change is on its way.
    await until(
      () => tree(two),
      (found) => found['b'] === 'waits',
    );
    expect(tree(two)).toEqual({ a: 'x', b: 'waits' });
    expect(events(agent.lines)).toEqual(['event sync-stalled', 'event sync-recovered']);
  });

  it('is none while nothing waits, or an operator paused it', async () => {
    const { one, agent } = await inStep();
    await callAgent(one, 'syncPause', { by: 'ops' });
    write(one, 'b', 'waits');
    await new Promise((resolve) => setTimeout(resolve, 500));
    await callAgent(one, 'syncResume');
    await until(
      async () => ((await callAgent(one, 'syncStatus')) as { state: string }).state,
      (state) => state === 'in step',
    );
    agent.cut(true);
    await new Promise((resolve) => setTimeout(resolve, 500));
    expect(stalled(one)).toEqual([]);
    expect(events(agent.lines)).toEqual([]);
  });

  it('of a run before this one is settled', async () => {
    const { one, two } = twoServers();
    raiseAlarm(one.root, 'Admin-sync is stalled: of yesterday', 0);
    start(two, one);
    start(one, two);
    await until(
      () => stalled(one),
      (found) => found.length === 0,
    );
  });
});
