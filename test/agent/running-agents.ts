// Two whole agents in this process, each the other's peer.
import { afterEach } from 'vitest';
import type { AgentOptions } from '../../src/agent/agent.ts';
import type { RunProgram } from '../../src/agent/program.ts';
import { runAgent } from '../../src/agent/run-agent.ts';
import { callAgent, openAgent } from '../../src/agent/socket.ts';
import type { Host } from '../../src/host/system.ts';
import type { SyncStatus } from '../../src/pair/sync-status.ts';
import { statusFrom } from '../../src/pair/sync-status.ts';
import type { Profile } from '../../src/profile/schema.ts';
import { profile } from './two-servers.ts';
import { until } from './until.ts';

const timing = { retry: 50, settle: 20, heartbeat: 50, reachable: 100, folders: 60_000, compare: 60_000, coalesce: 3 };
const stops: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0)) await stop();
});

/** Programs of data sets that do nothing and end well. */
const runNothing: RunProgram = async () => ({ stdout: '', stderr: '', exitCode: 0 });

/** Starts a server's agent; ended after the test. @returns ends it before */
export function startAgent(
  host: Host,
  peer: Host,
  more: Partial<Profile> = {},
  run: RunProgram = runNothing,
  moreTiming: AgentOptions['timing'] = {},
  login: AgentOptions['login'] = () => openAgent(peer.root),
  log: AgentOptions['log'] = () => {},
): () => Promise<void> {
  const aborter = new AbortController();
  const options = { run, signal: aborter.signal, log, login, timing: { ...timing, ...moreTiming } };
  const done = runAgent(host, { ...profile, ...more }, options);
  const stop = async (): Promise<void> => {
    aborter.abort();
    await done;
  };
  stops.push(stop);
  return stop;
}

/** Waits until the other server has everything. */
export const drained = (host: Host): Promise<unknown> =>
  until(
    () =>
      callAgent(host, 'syncDrain', { seconds: 5 }).then(
        () => true,
        () => false,
      ),
    (done) => done,
  );

/** What a server's agent tells of itself, as soon as it answers. */
export async function status(host: Host): Promise<SyncStatus> {
  const told = await until(
    () => callAgent(host, 'syncStatus').catch(() => undefined),
    (answer) => answer !== undefined,
  );
  return statusFrom(told);
}

/** Waits for a state of the first data set. */
export const setState = (host: Host, state: SyncStatus['sets'][number]['state']): Promise<SyncStatus> =>
  until(
    () => status(host),
    ({ sets }) => sets[0]?.state === state,
  );
