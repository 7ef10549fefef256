import { setFlagsFromString } from 'node:v8';
import { runAgent } from './agent/agent.ts';
import { shiftedClock } from './agent/shifted-clock.ts';
import { exitCodes } from './errors.ts';
import { settingOf } from './features/installed.ts';
import { makeNotifier } from './host/notify.ts';
import { profileOfServer } from './profile/load.ts';
import { programRoot } from './program-root.ts';
import { hostOf, requireRoot } from './session.ts';

/** Milliseconds within which most of what a start brings is done. */
const STARTING = 30_000;

/** The admin-sync service of a server, until it is asked to leave (SIGTERM, SIGINT). */
export async function serveAgent(root: string): Promise<void> {
  requireRoot(root);
  // Half the memory for the many small things that it keeps. Not while it starts, when it has the most to do: a first pass
  // would take a tenth longer. (v8.setFlagsFromString)
  setTimeout(() => setFlagsFromString('--optimize-for-size'), STARTING).unref();
  // What a pass has left is collected once while nothing happens, not twice. The Node of the HA package knows this flag.
  if (Number.parseInt(process.versions.node, 10) >= 24) setFlagsFromString('--memory-reducer-gc-count=1');
  const host = await hostOf(root, () => {});
  const stop = new AbortController();
  for (const signal of ['SIGTERM', 'SIGINT'] as const) process.on(signal, () => stop.abort());
  const log = (text: string): void => void process.stdout.write(`${text}\n`);
  const notify = makeNotifier(process.env);
  const shift = process.env['CMSADM_TEST_CLOCK_SHIFT'];
  const clock = shift === undefined ? host.system.clock : shiftedClock(host.system.clock, shift);
  const profile = profileOfServer(root, programRoot);
  const dualIp = profile.acd?.dualIp;
  await runAgent({ ...host, system: { ...host.system, clock } }, profile, {
    signal: stop.signal,
    log,
    notify,
    returnsToMain: () => dualIp !== undefined && settingOf(host, profile, dualIp, 'return_to_main') === true,
  });
  process.exit(exitCodes.done);
}
