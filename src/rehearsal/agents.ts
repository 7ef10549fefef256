import { join } from 'node:path';
import { runAgent } from '../agent/agent.ts';
import { profileOfServer } from '../profile/load.ts';
import { rehearsalHost } from './pair-folder.ts';

/**
 * Starts the admin-sync service of both servers of a rehearsal, in this process.
 * @returns stops them
 */
export function startAgents(folder: string, programRoot: string): () => Promise<unknown> {
  const stop = new AbortController();
  const running = ['cms1', 'cms2'].map((name) => {
    const root = join(folder, name);
    const host = rehearsalHost(root, programRoot, () => {});
    return runAgent(host, profileOfServer(root, programRoot), {
      signal: stop.signal,
      log: () => {},
      // Nobody waits for a rehearsal.
      timing: { retry: 200, settle: 100, heartbeat: 1_000, reachable: 1_000 },
    });
  });
  return () => {
    stop.abort();
    return Promise.all(running);
  };
}
