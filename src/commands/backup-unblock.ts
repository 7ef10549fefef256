import { backupRunning, settleDead } from '../backup/running.ts';
import { exitCodes } from '../errors.ts';
import type { CommandContext, CommandOutcome } from './context.ts';

/**
 * `cmsadm backup unblock`: takes away what a backup that died has left, its block of log-ins first. A timer runs it while
 * a backup works; while that lives it changes nothing.
 */
export async function backupUnblock({ host, report, operator, dryRun }: CommandContext): Promise<CommandOutcome> {
  const { hostname } = await host.system.identity();
  const claim = { operation: 'a look for what a backup left', operator, startedOn: hostname };
  const did = dryRun ? [] : await settleDead(host, claim);
  const isAlive = did === undefined || (dryRun && backupRunning(host) !== undefined);
  const lines = did ?? [];
  for (const line of lines) report.line(`${line}.`);
  if (lines.length === 0) report.line(isAlive ? 'A backup runs.' : 'Nothing is left.');
  return {
    exitCode: exitCodes.done,
    summary: `backup unblock: ${isAlive ? 'a backup runs' : lines.join(', ') || 'nothing is left'}`,
    result: { outcome: lines.length > 0 ? 'done' : 'nothing', running: isAlive, did: lines },
  };
}
