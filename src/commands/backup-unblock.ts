import { isUnsettled } from '../backup/placing.ts';
import { backupRunning, settleDead } from '../backup/running.ts';
import { exitCodes } from '../errors.ts';
import type { Host } from '../host/system.ts';
import { backupUnblockParameters } from './backup-parameters.ts';
import { mountedRoot } from './backup-root.ts';
import type { CommandContext, CommandOutcome, Given } from './context.ts';
import { endDeadHold } from './restore-hold.ts';

/**
 * `cmsadm backup unblock`: takes away what a backup that died has left, its block of log-ins first, and settles a restore
 * over a root that did not come to its end. A timer runs it while either works; while that lives it changes nothing.
 * @throws CmsadmError folder-unusable, restore-unsettled
 */
export async function backupUnblock(context: CommandContext, given: Given = {}): Promise<CommandOutcome> {
  const { host, report, operator, dryRun } = context;
  const typed = given[backupUnblockParameters.over.name];
  const over = typed === undefined ? undefined : mountedRoot(host, typed).folder;
  const did = dryRun ? [] : await settleBackups(host, operator, over);
  const isAlive = did === undefined || (dryRun && backupRunning(host) !== undefined);
  const lines = did ?? [];
  for (const line of lines) report.line(`${line}.`);
  if (dryRun && over !== undefined && isUnsettled(over)) report.line(`A restore over ${typed} stands half way.`);
  else if (lines.length === 0) report.line(isAlive ? 'A backup runs.' : 'Nothing is left.');
  return {
    exitCode: exitCodes.done,
    summary: `backup unblock: ${isAlive ? 'a backup runs' : lines.join(', ') || 'nothing is left'}`,
    result: { outcome: lines.length > 0 ? 'done' : 'nothing', running: isAlive, did: lines },
  };
}

/** Settles what died here. @returns what it did, one line each; undefined while a backup or a restore lives */
export async function settleBackups(host: Host, operator: string, over?: string): Promise<string[] | undefined> {
  const { hostname } = await host.system.identity();
  const claim = { operation: 'a look for what a backup left', operator, startedOn: hostname };
  const did = await settleDead(host, claim, over);
  return did && [...did, ...(backupRunning(host) ? [] : await endDeadHold(host))];
}
