import { CmsadmError } from '../errors.ts';
import type { Host } from '../host/system.ts';
import { paths } from '../pair/state.ts';
import { count } from '../printable.ts';
import { lockOwner, releaseLock, takeLock } from './lock.ts';

/** Milliseconds between two looks, and how often it is looked in a minute. */
const PAUSE = 50;
const LOOKS = 1200;

/** Whose turn it is, and what of: by default of confirming and putting back. */
type Turn = {
  readonly operation: string;
  readonly operator: string;
  readonly server: string;
  readonly path?: string;
  /** How long to wait for another process. */
  readonly minutes?: number;
};

/**
 * Waits until no other process of this server has this turn, then works. What is found then may be done already.
 * @throws CmsadmError locked, if that other one needs longer
 */
export async function inTurn<T>(
  host: Host,
  { operation, operator, server, path = paths.turn, minutes = 1 }: Turn,
  work: () => Promise<T>,
): Promise<T> {
  for (let looks = 1; !hasTurn(); looks += 1) {
    if (looks === LOOKS * minutes)
      throw new CmsadmError(
        'locked',
        `Another process on ${server} has been at it for ${count(minutes, 'minute')}: ${operation}.`,
        {
          server,
          remedy: `Wait until it has ended; the file ${path} there names it.`,
        },
      );
    await new Promise((resolve) => setTimeout(resolve, PAUSE));
  }
  try {
    return await work();
  } finally {
    releaseLock(host, path);
  }

  function hasTurn(): boolean {
    // This process settles one thing after the other; it may have failed to give an earlier turn back.
    if (lockOwner(host, path)?.pid === process.pid) return true;
    try {
      takeLock(host, { operation, operator, startedOn: server }, path);
      return true;
    } catch (error) {
      if (error instanceof CmsadmError && error.code === 'locked') return false;
      throw error;
    }
  }
}
