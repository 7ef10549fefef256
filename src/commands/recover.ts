import { recover } from '../change/recover.ts';
import { exitCodes } from '../errors.ts';
import { clearAlarms, readAlarms } from '../pair/alarms.ts';
import type { CommandContext, CommandOutcome } from './context.ts';

/** Settles what an earlier run left open on this server; repeatable. */
export async function recoverCommand(context: CommandContext): Promise<CommandOutcome> {
  const settled = await recover(context.host, undefined, 'operator');
  if (settled.length === 0) context.report.line('Nothing was left open on this server.');
  for (const { id, did, why } of settled) context.report.line(`${id}: ${did}: ${why}.`);
  const open = settled.filter(({ did }) => did === 'waits' || did === 'left');
  const alarms = readAlarms(context.host.root);
  for (const { at, text } of alarms) context.report.line(`Seen: ${at} ${text}`);
  if (open.length === 0) clearAlarms(context.host.root);
  return {
    exitCode: open.length > 0 ? exitCodes.needsPerson : exitCodes.done,
    summary: `recover: ${settled.length === 0 ? 'nothing open' : settled.map(({ id, did }) => `${id} ${did}`).join(', ')}`,
    result: { outcome: open.length > 0 ? 'open' : 'done', settled },
  };
}
