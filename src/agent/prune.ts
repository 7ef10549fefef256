import { setTimeout as sleep } from 'node:timers/promises';
import { readText } from '../host/root.ts';
import { writeState } from '../host/writing.ts';
import { paths } from '../pair/state.ts';
import type { Agent } from './agent.ts';
import { forgetConflicts } from './conflicts.ts';
import { isSystemError } from './data-set.ts';
import { pruneKept } from './kept.ts';

/** The wall clock may go so much faster or slower than time itself (milliseconds) between two looks. */
const DRIFT = 60_000;
const DAY = 86_400_000;
/** When the clock was last put ahead by more than a day, by that clock. */
const clockSet = `${paths.sync}/clock-set`;

/**
 * Every hour removes what was kept for the profile's days, on either server, connected or not. Only while the clock went as
 * time did for that hour: one that is wrong after the start, or jumps, must not make copies old. What was kept before it was
 * put ahead is younger than its times say: all stays for those days.
 */
export async function keepPruning({ host, profile, timing, log }: Agent, signal: AbortSignal): Promise<void> {
  const ahead = (): number => host.system.clock() - performance.now();
  for (;;) {
    const before = ahead();
    await sleep(timing.prune, undefined, { signal, ref: false }).catch(() => {});
    if (signal.aborted) return;
    const jump = ahead() - before;
    try {
      if (jump > DAY) writeState(host.root, clockSet, `${host.system.clock()}\n`);
      if (Math.abs(jump) > DRIFT) continue;
      const since = host.system.clock() - Number(readText(host.root, clockSet) ?? Number.NaN);
      if (since >= 0 && since < profile.keepDays * DAY) continue;
      const gone = await pruneKept(host, profile.keepDays);
      forgetConflicts(host);
      if (gone > 0) log(`kept copies of ${gone} times are older than ${profile.keepDays} days and were removed`);
    } catch (error) {
      if (!isSystemError(error)) throw error;
      log(`old kept copies cannot be removed: ${error.message}`);
    }
  }
}
