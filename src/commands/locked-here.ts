import { withLocks } from '../change/coordinator.ts';
import type { CommandContext } from './context.ts';
import { onlyThis } from './pair-of-servers.ts';
import { refuseIfBusy } from './run-plan.ts';

/** Does something to this server while nobody else changes it. @throws CmsadmError locked, unfinished */
export async function lockedHere(context: CommandContext, operation: string, work: () => Promise<void>): Promise<void> {
  const { servers } = await onlyThis(context);
  const [own] = servers;
  if (!own) throw new Error('this server is none of the servers');
  await refuseIfBusy(own.server, own.name);
  const claim = { operation, operator: context.operator, startedOn: own.name };
  await withLocks([{ ...own, fingerprint: own.name }], claim, work);
}
