import type { Host } from '../host/system.ts';
import { paths } from '../pair/state.ts';
import { stepOf, type TransactionId, tagOf } from '../pair/tag.ts';
import { readJournal } from './journal.ts';
import { commandOf } from './program.ts';

const unitOf = (id: TransactionId): string =>
  `cmsadm-way-back-${tagOf(id).slice('zdt_'.length).replace('_', '-')}-${stepOf(id)}`;

/** The old program takes a new one back: who knows whether the new one can. */
function runOf(host: Host, id: TransactionId): string[] {
  const program = stepOf(id) === 'program' ? readJournal(host.root, id).manifest.program : undefined;
  return [program ? commandOf(program.from) : paths.command, 'recover', '--way-back', id];
}

/** Arms (again) the timer that puts an unconfirmed change back, whatever happens to this process. */
export const arm = async (host: Host, id: TransactionId, seconds: number): Promise<void> =>
  host.system.arm(unitOf(id), seconds, runOf(host, id));

/**
 * Arms one more try from within the run of an earlier one: systemd has that unit loaded still, and makes no second one
 * of its name. A try that comes when all is settled finds nothing to do.
 */
export const armAgain = async (host: Host, id: TransactionId, seconds: number): Promise<void> =>
  host.system.arm(`${unitOf(id)}-${Math.trunc(host.system.clock() / 1000)}`, seconds, runOf(host, id));

export const disarm = (host: Host, id: TransactionId): Promise<void> => host.system.disarm(unitOf(id));
