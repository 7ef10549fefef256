import { setFlagsFromString } from 'node:v8';
import { runAgent } from './agent/run-agent.ts';
import { shiftedClock } from './agent/shifted-clock.ts';
import { exitCodes } from './errors.ts';
import { settingOf } from './features/installed.ts';
import { makeNotifier } from './host/notify.ts';
import { profileOfServer } from './profile/load.ts';
import { programRoot } from './program-root.ts';
import { hostOf, requireRoot } from './session.ts';

/** How long the agent may start in haste, in milliseconds, and how large it may become meanwhile, in bytes. */
const HASTE = { time: 30_000, size: 120_000_000 };

/**
 * Half the memory for the many small things that the agent keeps. Not while it starts, when it has the most to do: a first
 * pass over ten thousand files would take a tenth longer. (v8.setFlagsFromString)
 */
function keepSmall(): void {
  const start = performance.now();
  const look = setInterval(() => {
    if (performance.now() - start < HASTE.time && process.memoryUsage.rss() < HASTE.size) return;
    clearInterval(look);
    setFlagsFromString('--optimize-for-size');
  }, 50).unref();
}

/** The admin-sync service of a server, until it is asked to leave (SIGTERM, SIGINT). */
export async function serveAgent(root: string): Promise<void> {
  requireRoot(root);
  keepSmall();
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
