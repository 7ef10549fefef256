// Ends the program at a numbered call, on a server of the lab, while an operation goes on; see end-at-call.mjs.
import { fileURLToPath } from 'node:url';
import type { Deed } from '../../lab/chaos/operations.ts';
import { start } from '../../lab/chaos/running.ts';
import { onBoth, other, type PairServer } from '../../lab/chaos/standing.ts';
import { copyIn, exec, powerOff, powerOn, writeFile } from '../../lab/lab.ts';

/** The process that the operator started, or those that serve it on the other server. */
export const roles = ['coordinator', 'peer'] as const;
export type Role = (typeof roles)[number];
export type How = 'killed' | 'without power';

const folder = '/srv/crash-points';
const nodeOptions = `NODE_OPTIONS=--import=${folder}/end-at-call.mjs`;
const argumentOf: Readonly<Record<Role, string>> = { coordinator: 'config_HA', peer: 'peer' };
const serverOf = (role: Role, { on }: Deed): PairServer => (role === 'coordinator' ? on : other(on));

/** Has every program that sshd starts load end-at-call.mjs (pam_env(8)), which does nothing without a plan. */
export async function prepareCrashes(): Promise<void> {
  await onBoth(async (server) => {
    await exec(server, ['mkdir', '-p', folder]);
    await copyIn(server, fileURLToPath(new URL('./end-at-call.mjs', import.meta.url)), `${folder}/end-at-call.mjs`);
    await writeFile(server, '/etc/environment', `${nodeOptions}\n`);
  });
}

const plan = (server: PairServer, role: Role, at: number, how: How): Promise<void> =>
  writeFile(server, `${folder}/plan.json`, JSON.stringify({ argument: argumentOf[role], at, how }));

/** The calls that were made since the last one, a line each; the last is the one at which the program was ended. */
async function takeCalls(server: PairServer): Promise<readonly string[]> {
  const script = 'cd "$1" && cat calls 2>/dev/null; rm -f calls plan.json reached over';
  const { stdout } = await exec(server, ['sh', '-c', script, 'sh', folder]);
  return stdout.split('\n').filter((line) => line !== '');
}

const startCounted = ({ on, argv }: Deed) => start(on, ['env', nodeOptions, ...argv]);

/** Carries an operation out without a fault. Returns the calls of each role. Throws when it fails. */
export async function countCalls(deed: Deed): Promise<Readonly<Record<Role, readonly string[]>>> {
  for (const role of roles) await plan(serverOf(role, deed), role, Number.MAX_SAFE_INTEGER, 'killed');
  const running = startCounted(deed);
  const exitCode = await running.ended;
  if (exitCode !== 0) {
    const said = running.said().map(({ text }) => text);
    throw new Error(`${deed.operation} ended with ${exitCode}:\n${said.slice(-30).join('\n')}`);
  }
  return { coordinator: await takeCalls(serverOf('coordinator', deed)), peer: await takeCalls(serverOf('peer', deed)) };
}

export type Crash = {
  readonly exitCode: number | undefined;
  /** The call that did not happen any more; undefined where the operation ended before it. */
  readonly call: string | undefined;
  /** How many calls there were. */
  readonly calls: number;
  readonly said: readonly string[];
};

/** Carries an operation out, and ends one role of it, or its server, right before its call number `at` (from 1). */
export async function crashAt(deed: Deed, role: Role, at: number, how: How): Promise<Crash> {
  const server = serverOf(role, deed);
  await plan(server, role, at, how);
  const script = 'cd "$1" && until [ -e reached ] || [ -e over ]; do sleep 0.02; done';
  const reached = start(server, ['sh', '-c', script, 'sh', folder]).ended;
  const running = startCounted(deed);
  // A server without power ends nothing but itself: whoever waits for it goes on when it is there again.
  if ((await Promise.race([reached.then(() => 'reached'), running.ended])) === 'reached' && how === 'without power') {
    await powerOff(server);
    await powerOn(server);
  }
  const exitCode = await running.ended;
  const came = await exec(server, ['sh', '-c', 'test -e "$1/reached" || { touch "$1/over"; false; }', 'sh', folder], {
    reject: false,
  });
  await reached;
  const calls = await takeCalls(server);
  return {
    exitCode,
    call: came.exitCode === 0 ? calls[at - 1] : undefined,
    calls: calls.length,
    said: running.said().map(({ text }) => text),
  };
}
