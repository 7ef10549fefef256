import type { Host } from '../host/system.ts';
import type { Manifest } from './journal.ts';
import type { LockOwner } from './lock.ts';

/** How this process is told from every other one of this server, the dead ones with the same number included. */
export const thisProcess = (host: Host): NonNullable<Manifest['worker']> => ({
  pid: process.pid,
  processStart: host.system.processStart(process.pid) ?? '',
  bootId: host.system.bootId(),
});

/** True if the owner of the lock is the process that began this transaction. */
export const isWorkOf = (owner: LockOwner, { worker }: Manifest): boolean =>
  owner.pid === worker?.pid && owner.processStart === worker.processStart && owner.bootId === worker.bootId;
