// Kills a command of the menu at a numbered call, on one server of the lab; see end-at-call.mjs.
import { fileURLToPath } from 'node:url';
import { copyIn, exec, writeFile } from '../../lab/lab.ts';
import type { RunResult } from '../../lab/run.ts';
import { attempt, type Server, sh } from './kit.ts';

const folder = '/srv/crash-points';

/**
 * From one call at which a command is killed to the next: with EVERY_CALL=1 in the environment each call has its turn, else
 * about `most` of them, for in memory every one of them is tried anyway (docs/crash-points.md).
 */
export const stride = (calls: number, most: number): number =>
  process.env['EVERY_CALL'] === '1' ? 1 : Math.max(1, Math.ceil(calls / most));

export async function prepareKills(server: Server): Promise<void> {
  await exec(server, ['mkdir', '-p', folder]);
  await copyIn(server, fileURLToPath(new URL('./end-at-call.mjs', import.meta.url)), `${folder}/end-at-call.mjs`);
}

/**
 * Runs `cmsadm COMMAND …` and kills it right before its call number `at` (from 1) of those that change something outside
 * the process.
 * @returns how it ended, and the calls that were begun, the one that did not happen any more included
 */
export async function killedAt(
  server: Server,
  at: number,
  command: string,
  ...args: string[]
): Promise<RunResult & { readonly calls: readonly string[] }> {
  await writeFile(server, `${folder}/plan.json`, JSON.stringify({ argument: command, at, how: 'killed' }));
  // The shell tells a killed program by its exit code; what watches over it would die in the same way.
  const result = await attempt(
    server,
    ...['sh', '-c', '"$@"; exit "$?"', 'sh'],
    ...['env', `NODE_OPTIONS=--import=${folder}/end-at-call.mjs`, 'cmsadm', command],
    ...args,
  );
  const calls = await sh(server, `cd ${folder} && cat calls; rm -f calls plan.json reached`);
  return { ...result, calls: calls.split('\n').filter((line) => line !== '') };
}
