import { setTimeout as sleep } from 'node:timers/promises';
import { openAgent } from '../agent/socket.ts';
import { CmsadmError, exitCodes } from '../errors.ts';
import { statusFrom } from '../pair/sync-status.ts';
import { during } from '../report.ts';
import type { CommandContext, CommandOutcome, GoesOn } from './context.ts';
import { askAgent } from './sync-agents.ts';
import { passReportsFrom } from './sync-answers.ts';

/** Milliseconds between two looks at how far the pass is. */
const EVERY = 300;

/** A full pass now, to its end. @throws CmsadmError agent-not-running, not-authority, not-in-step */
export async function syncNow(context: CommandContext): Promise<CommandOutcome> {
  const passes = passReportsFrom(
    await duringPass(context, 'Comparing both servers and sending what differs', () =>
      askAgent(context, 'syncNow', {}, passGoesOn),
    ),
  );
  context.report.show({ kind: 'passes', passes });
  const failed = passes.filter(({ ok }) => !ok);
  const files = passes.reduce((sum, { sent }) => sum + sent, 0);
  const removed = passes.reduce((sum, { removed: gone }) => sum + gone, 0);
  if (failed.length === 0)
    return {
      exitCode: exitCodes.done,
      summary: `full pass: ok, ${files} sent, ${removed} removed`,
      result: { outcome: 'done', passes },
    };
  const error = new CmsadmError('not-in-step', 'Not every data set is on the other server.', {
    details: failed.map(({ set, why }) => `${set}: ${why}`),
    remedy: '`cmsadm sync status` shows what is in the way; put it right, then run it again.',
  });
  return {
    exitCode: error.exitCode,
    summary: `full pass: failed for ${failed.map(({ set }) => set).join(', ')}`,
    result: { outcome: 'refused', passes },
    error,
  };
}

/** An agent ends a pass that it has begun. */
export const passGoesOn: GoesOn = {
  text: 'the admin-sync service goes on with the full pass',
  remedy: 'See how far it is: cmsadm sync status',
};

/** Shows how far the full pass is while its answer is waited for. */
export function duringPass<T>(context: CommandContext, what: string, work: () => Promise<T>): Promise<T> {
  return during(context.report, what, async () => {
    const ended = new AbortController();
    void tellProgress(context, what, ended.signal);
    return work().finally(() => ended.abort());
  });
}

/** The first session waits for the end of the pass, so this asks over a second one. */
async function tellProgress({ host, report }: CommandContext, what: string, ended: AbortSignal): Promise<void> {
  const session = await openAgent(host.root).catch(() => undefined);
  try {
    while (session && !ended.aborted) {
      await sleep(EVERY, undefined, { signal: ended });
      const { passPercent } = statusFrom(await session.call('syncStatus', {}));
      if (passPercent !== null && !ended.aborted) report.progress(`${what}: ${passPercent} %`);
    }
  } catch {
    // That the pass ended, or what went wrong, is told by the answer to the pass itself.
  } finally {
    session?.close();
  }
}
