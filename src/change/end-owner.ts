import { CmsadmError, exitCodes } from '../errors.ts';
import type { Host, ProcessState } from '../host/system.ts';
import { type LockOwner, lockOwner, releaseLock, takeLock } from './lock.ts';

/** Who holds the lock of a server, and what his process is doing. */
export type Holder = LockOwner & { readonly process: ProcessState };

/** How the owner went: by itself before it was asked, after it was asked, or because it was killed. */
export type Ended = 'gone' | 'left' | 'killed';

/** Seconds that a process has to put back what it began before it is killed. */
export const GRACE_SECONDS = 60;

/** Who holds the lock of this server; undefined if nobody does. */
export function holderOf(host: Host): Holder | undefined {
  const owner = lockOwner(host);
  const process = owner && host.system.processState(owner.pid);
  return owner && process && { ...owner, process };
}

/**
 * Ends the process that holds the lock of this server. The lock is not touched while its owner lives: it becomes free
 * because he is dead, as after a crash, so that never two proceed. A process that can still act puts its change back
 * first; what it leaves unsettled is for `recover`.
 * @param seen the owner that the operator was shown and named
 * @param graceSeconds until it is killed
 * @throws CmsadmError lock-differs (somebody else holds it by now), owner-stuck
 */
export async function endOwner(host: Host, seen: LockOwner, graceSeconds = GRACE_SECONDS): Promise<Ended> {
  const now = lockOwner(host);
  if (!now) return 'gone';
  if (!isSame(now, seen)) throw differs(now);
  // Stopped, it would hear us only when somebody lets it go on; and then it shall not.
  if (host.system.processState(seen.pid) !== 'stopped') {
    host.system.askToLeave(seen.pid);
    if (await gone(host, seen, graceSeconds)) return 'left';
  }
  // Only whom the operator named: by now its number may be another's.
  if (!isHeldBy(host, seen)) return 'left';
  await kill(host, seen);
  return 'killed';
}

/** @returns false if it still holds the lock after so many seconds */
async function gone(host: Host, seen: LockOwner, seconds: number): Promise<boolean> {
  for (const end = host.system.elapsed() + seconds * 1000; isHeldBy(host, seen); await pause())
    if (host.system.elapsed() >= end) return false;
  return true;
}

async function kill(host: Host, seen: LockOwner): Promise<void> {
  try {
    await host.system.endProcess(seen.pid);
  } catch (cause) {
    if (!(cause instanceof CmsadmError)) throw cause;
    throw new CmsadmError('owner-stuck', `Process ${seen.pid} hangs in the kernel: no signal ends it.`, {
      exitCode: exitCodes.needsPerson,
      remedy: 'Look at the disks and network file systems (`dmesg`); if nothing helps, restart this server.',
      cause,
    });
  }
  sweep(host, seen);
}

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 50));

const isSame = (one: LockOwner, other: LockOwner): boolean =>
  one.pid === other.pid && one.processStart === other.processStart && one.since === other.since;

/** The owner lives and still holds the lock. */
function isHeldBy(host: Host, seen: LockOwner): boolean {
  const owner = lockOwner(host);
  return owner !== undefined && isSame(owner, seen);
}

const differs = ({ operator, operation, since }: LockOwner): CmsadmError =>
  new CmsadmError(
    'lock-differs',
    `By now it is ${operator} who is changing this server: ${operation}, since ${since}.`,
    {
      remedy: 'Nothing was ended. Look again: cmsadm config_HA show.',
    },
  );

/** A dead owner's file stops nobody; it is taken away by the same rule as by the next owner. */
function sweep(host: Host, { operator, startedOn }: LockOwner): void {
  try {
    takeLock(host, { operation: 'unlock', operator, startedOn });
    releaseLock(host);
  } catch (error) {
    if (!(error instanceof CmsadmError)) throw error; // somebody else was faster
  }
}
