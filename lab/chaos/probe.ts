import { setTimeout as sleep } from 'node:timers/promises';
import { type RunResult, run } from '../run.ts';
import { sshArgv } from '../ssh.ts';
import { type PairServer, pair } from './standing.ts';

/** One attempt to log in as root by SSH; times in milliseconds since the epoch. */
export type Attempt = {
  readonly server: PairServer;
  readonly began: number;
  readonly ended: number;
  readonly ok: boolean;
  /** What ssh said where it did not get in. */
  readonly said: string;
};

/** A span in which we ourselves keep a server from being reached: off, cut off, frozen, its sshd stopped. */
export type Excuse = { readonly server: PairServer; readonly from: number; readonly to: number };

/** Tries to log in to a server as root, as an administrator does. */
export async function tryLogin(server: PairServer): Promise<Attempt> {
  const began = Date.now();
  const { exitCode, stderr } = await logIn(server).catch((error: unknown) => ({ exitCode: -1, stderr: String(error) }));
  return { server, began, ended: Date.now(), ok: exitCode === 0, said: stderr };
}

const logIn = async (server: PairServer): Promise<RunResult> => {
  const [file, ...args] = sshArgv(server, ['true']);
  return run([file, '-o', 'BatchMode=yes', ...args], { reject: false, timeoutMs: 30_000 });
};

/** Tries every second, on both servers, until it is stopped; an attempt that takes longer delays the next one. */
export function startProbe(): { readonly stop: () => Promise<readonly Attempt[]> } {
  const stopped = new AbortController();
  const tryOn = async (server: PairServer): Promise<Attempt[]> => {
    const attempts: Attempt[] = [];
    while (!stopped.signal.aborted) {
      const next = Date.now() + 1000;
      attempts.push(await tryLogin(server));
      await sleep(Math.max(0, next - Date.now()));
    }
    return attempts;
  };
  const both = Promise.all(pair.map(tryOn));
  return {
    stop: async () => {
      stopped.abort();
      return (await both).flat();
    },
  };
}

/** After we have let go, sshd may need a moment: connections that were begun before are still dying. */
const GRACE_MS = 6000;

/**
 * What the attempts complain of: a login that is refused at any time, and one that fails for longer than the confirm
 * window while nothing that we do keeps it from the server.
 */
export function loginComplaints(
  attempts: readonly Attempt[],
  excuses: readonly Excuse[],
  windowSeconds: number,
): readonly string[] {
  const complaints: string[] = [];
  for (const server of pair) {
    const here = excuses.filter((one) => one.server === server);
    const isExcused = ({ began, ended }: Attempt): boolean =>
      here.some(({ from, to }) => ended >= from && began <= to + GRACE_MS);
    let since: number | undefined;
    for (const attempt of attempts.filter((one) => one.server === server)) {
      if (/Permission denied|REMOTE HOST IDENTIFICATION/.test(attempt.said))
        complaints.push(`${server}: root was refused: ${attempt.said.split('\n').at(-1)}`);
      if (attempt.ok || isExcused(attempt)) {
        since = undefined;
        continue;
      }
      since ??= attempt.began;
      if (attempt.ended - since > windowSeconds * 1000)
        complaints.push(`${server}: no login for ${Math.round((attempt.ended - since) / 1000)} s: ${attempt.said}`);
    }
  }
  return [...new Set(complaints)];
}
