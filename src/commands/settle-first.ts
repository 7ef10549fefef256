import { takeAwayTheRest } from '../change/afterwards.ts';
import { isBrought } from '../change/brought.ts';
import { unfinished } from '../change/journal.ts';
import { lockOwner } from '../change/lock.ts';
import { isOpen, recover } from '../change/recover.ts';
import { CmsadmError } from '../errors.ts';
import { during } from '../report.ts';
import type { CommandContext } from './context.ts';

/**
 * Before a command that changes something: settles what a dead run left open on this server, as its way back would, so
 * that nothing is restarted that interrupts users. A dry run settles nothing.
 * @throws CmsadmError unfinished, if that leaves something to a person
 */
export async function settleFirst({ host, report, dryRun }: CommandContext): Promise<void> {
  // While somebody is at it, the command is refused for that later.
  if (dryRun || lockOwner(host) || unfinished(host.root).length === 0) return;
  const settled = await during(report, 'Settling what an earlier run left open', () =>
    recover(host, undefined, 'itself'),
  );
  for (const { id, did, why } of settled) report.line(`${id}: ${did}: ${why}.`);
  // What takes the program away is for the timer or `cmsadm recover`: this command still needs it.
  if (!isBrought(host)) await takeAwayTheRest(host);
  const toDo = [...new Set(settled.flatMap((one) => one.toDo))];
  if (toDo.length === 0 && !settled.some(isOpen)) return;
  throw new CmsadmError('unfinished', 'An earlier change was left open on this server, and a person is needed.', {
    details: [...settled.map(({ id, did, why }) => `${id}: ${did}: ${why}.`), ...toDo],
    remedy: settled.some(isOpen)
      ? 'Do what these lines say, then run `cmsadm recover`.'
      : 'Do what these lines say, then run the command again.',
  });
}
