import { CmsadmError } from '../errors.ts';
import type { Host } from '../host/system.ts';
import { openAdminLog } from '../pair/admin-log.ts';
import { raiseAlarm, readAlarms } from '../pair/alarms.ts';
import { readLink } from '../pair/state.ts';
import type { TransactionId } from '../pair/tag.ts';
import { confirm } from './apply.ts';
import { removeBrought } from './brought.ts';
import { decide, type Manifest, readJournal, unfinished } from './journal.ts';
import { type LockOwner, lockOwner, releaseLock, takeLock } from './lock.ts';
import { putBack } from './put-back.ts';
import { loginToPeer, remoteServer } from './remote-server.ts';
import { tidy } from './tidy.ts';
import { type Answer, afterAnswer, settlement } from './transitions.ts';
import { armAgain } from './way-back.ts';
import { isWorkOf } from './worker.ts';

/** Seconds until what could not be settled by itself is tried again. */
const RETRY_SECONDS = 60;

/** What recover found and did with one transaction. */
export type Settled = {
  readonly id: TransactionId;
  /** `waits`: for the other server's word. `left`: somebody else is at it, or something is in the way. */
  readonly did: 'confirmed' | 'put back' | 'waits' | 'left';
  readonly why: string;
  /** What a person must still do, one sentence each. */
  readonly toDo: readonly string[];
};

type By = 'operator' | 'itself';

/**
 * Settles what an earlier run left open on this server, by the rules of transitions.ts. What can't be settled is named
 * and the rest goes on.
 * @param only one transaction (the way back's timer), or all; a timer ends the run that is late, and nobody else's
 * @param by who settles: `itself` restarts nothing that interrupts the service, raises an alarm and logs instead, and
 * tries again later where it has to wait
 * @param operator who stands in the lock meanwhile
 */
export async function recover(
  host: Host,
  only: TransactionId | undefined,
  by: By,
  operator = 'cmsadm itself',
): Promise<Settled[]> {
  if (only === undefined) tidy(host);
  const settled: Settled[] = [];
  for (const id of unfinished(host.root)) {
    if (only !== undefined && id !== only) continue;
    const one = await settle(host, id, { by, operator, isTimer: only !== undefined }).catch((error) => left(id, error));
    settled.push(one);
    if (by === 'itself') await tell(host, one);
  }
  // After a link that was put back; what can't go by itself, goes when the operator recovers.
  const removed = removeBrought(host);
  await (by === 'itself' ? removed.catch(() => false) : removed);
  return settled;
}

/** A foreseen failure, or one of the disk, is told and does not keep the others from being settled. */
function left(id: TransactionId, error: unknown): Settled {
  if (error instanceof CmsadmError) {
    const why = [error.message.replace(/\.$/, ''), ...error.details].join('; ');
    return { id, did: 'left', why, toDo: error.remedy === undefined ? [] : [error.remedy] };
  }
  if (!(error instanceof Error) || !('syscall' in error)) throw error;
  return {
    id,
    did: 'left',
    why: error.message,
    toDo: ['Remove the cause (disk, permissions), then `cmsadm recover`.'],
  };
}

// Nobody is there: the log and an alarm tell it, and what is not done yet is tried again.
async function tell(host: Host, { id, did, why }: Settled): Promise<void> {
  const text = `${id}: ${did}: ${why}`;
  const { clock } = host.system;
  if (!readAlarms(host.root).some((alarm) => alarm.text === text)) {
    raiseAlarm(host.root, text, clock());
    openAdminLog(host.root, { pid: process.pid, operator: 'cmsadm', what: 'recover by itself' }, clock).outcome(text);
  }
  // The boot and the next command settle it too, where no timer can be had.
  if (did === 'waits' || did === 'left') await armAgain(host, id, RETRY_SECONDS).catch(() => undefined);
}

type Settler = { readonly by: By; readonly operator: string; readonly isTimer: boolean };

async function settle(host: Host, id: TransactionId, settler: Settler): Promise<Settled> {
  const { manifest, ruling } = readJournal(host.root, id);
  const owner = lockOwner(host);
  const other = owner?.pid === process.pid ? undefined : owner;
  const late = other && settler.isTimer && isWorkOf(other, manifest) ? other : undefined;
  if (other && !late) return { id, did: 'left', why: `${other.operation} by ${other.operator} is running`, toDo: [] };

  const back = async (why: string): Promise<Settled> => {
    // Decided first: the late run may do what it likes until it is ended, it can confirm no more.
    if (decide(host.root, id, 'put-back') === 'confirmed') return forward('it was confirmed at this moment');
    if (late) await host.system.endProcess(late.pid);
    return underLock(host, manifest, settler, owner, () => backAndTell(host, id, settler.by, why));
  };
  const forward = async (why: string): Promise<Settled> => {
    if (late) return { id, did: 'left', why: `${why}; the run that began it is finishing it`, toDo: [] };
    await underLock(host, manifest, settler, owner, () => confirm(host, id));
    return { id, did: 'confirmed', why, toDo: [] };
  };

  const rule = settlement(manifest.part, ruling);
  if (rule === 'confirm') return forward('it was confirmed, and not finished');
  if (rule === 'put back')
    return back(ruling === 'put-back' ? 'it was decided to put it back, and not finished' : 'it was never confirmed');
  const { answer, why } = await askPeer(host, id);
  const then = afterAnswer(answer);
  if (then === 'confirm') return forward('the other server confirmed');
  if (then === 'put back') return back('the other server put it back');
  return {
    id,
    did: 'waits',
    why: `the other server must say what it decided, and cannot be asked: ${why}`,
    toDo: ['Bring the other server back; then `cmsadm recover` does here what it did.'],
  };
}

async function backAndTell(host: Host, id: TransactionId, by: By, why: string): Promise<Settled> {
  const { edited, left: untouched, leftToDo } = await putBack(host, id, by);
  const more = [
    ...untouched.map((file) => `${file} was edited meanwhile and is left as it is`),
    ...edited.map((file) => `an edit made meanwhile is kept in ${file}`),
    ...leftToDo.map((unit) => `${unit} still runs with the other configuration: restart it`),
  ];
  const toDo = leftToDo.map((unit) => `Restart ${unit}: it still runs with the configuration that was put back.`);
  return { id, did: 'put back', why: [why, ...more].join('; '), toDo };
}

/** Works under the lock of this server, unless this process holds it. @throws CmsadmError locked */
async function underLock<T>(
  host: Host,
  manifest: Manifest,
  { operator }: Settler,
  owner: LockOwner | undefined,
  work: () => Promise<T>,
): Promise<T> {
  if (owner?.pid === process.pid) return work();
  takeLock(host, { operation: 'recover', operator, startedOn: manifest.server });
  try {
    return await work();
  } finally {
    releaseLock(host);
  }
}

/** The peer's word; one that is undecided although we asked has not got the question, and is told to put back. */
async function askPeer(host: Host, id: TransactionId): Promise<{ answer: Answer; why: string }> {
  const link = readLink(host.root);
  if (!link) return { answer: 'unreachable', why: 'the link is gone' };
  try {
    const session = await loginToPeer(host, link);
    try {
      const peer = remoteServer(session);
      const answer = await peer.outcome({ id });
      if (afterAnswer(answer) !== 'have the peer put back') return { answer, why: '' };
      await peer.putBack({ id, by: 'itself' });
      const now = await peer.outcome({ id });
      return now === 'undecided' ? { answer: 'unreachable', why: 'it has not decided yet' } : { answer: now, why: '' };
    } finally {
      session.close();
    }
  } catch (error) {
    return { answer: 'unreachable', why: error instanceof Error ? error.message : String(error) };
  }
}
