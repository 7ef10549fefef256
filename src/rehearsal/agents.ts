import { join } from 'node:path';
import type { RunProgram } from '../agent/program.ts';
import { runAgent } from '../agent/run-agent.ts';
import type { Host } from '../host/system.ts';
import { paths } from '../pair/state.ts';
import { profileOfServer } from '../profile/load.ts';
import type { Profile } from '../profile/schema.ts';
import { eachWanted } from '../wanted/states.ts';
import { rehearsalHost } from './pair-folder.ts';

/**
 * Starts the admin-sync service of both servers of a rehearsal, in this process, and waits until both can be asked.
 * @returns stops them
 * @throws CmsadmError agent-running, where another process has this pair open
 */
export async function startAgents(folder: string, programRoot: string): Promise<() => Promise<unknown>> {
  const stop = new AbortController();
  const started = ['cms1', 'cms2'].map((name) => {
    const root = join(folder, name);
    const host = rehearsalHost(root, programRoot, () => {});
    const profile = profileOfServer(root, programRoot);
    let ready = (): void => {};
    const isReady = new Promise<void>((resolve) => {
      ready = resolve;
    });
    const ended = runAgent(host, profile, {
      run: ownProgram(host, profile),
      signal: stop.signal,
      log: () => {},
      notify: { ready: () => ready(), alive: () => {} },
      // Nobody waits for a rehearsal.
      timing: { retry: 200, settle: 100, heartbeat: 1_000, reachable: 1_000 },
    });
    return { ended, isReady };
  });
  const end = (): Promise<unknown> => {
    stop.abort();
    return Promise.all(started.map(({ ended }) => ended));
  };
  try {
    await Promise.all(started.map(({ ended, isReady }) => Promise.race([ended, isReady])));
  } catch (error) {
    await end().catch(() => {}); // both tell the same
    throw error;
  }
  return end;
}

/** Of a data set's programs only our own one runs, in this process and for the server's folder. */
const ownProgram =
  (host: Host, profile: Profile): RunProgram =>
  async ([program, command, what]) => {
    if (program !== paths.command || command !== 'wanted' || (what !== 'apply' && what !== 'report'))
      return { stdout: '', stderr: '', exitCode: 0 };
    const told = await eachWanted(what, host, profile);
    const failed = told.flatMap((one) => (one.failed === undefined ? [] : [`${one.name}: ${one.failed}`]));
    return {
      stdout: told.flatMap(({ name, lines }) => lines.map((line) => `${name}: ${line}\n`)).join(''),
      stderr: failed.join('\n'),
      exitCode: failed.length === 0 ? 0 : 3,
    };
  };
