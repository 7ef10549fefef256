import type { Host } from '../host/system.ts';
import { raiseAlarm } from '../pair/alarms.ts';
import { readLink } from '../pair/state.ts';
import type { TransactionId } from '../pair/tag.ts';
import { confirm } from './apply.ts';
import { readJournal, unfinished } from './journal.ts';
import { lockOwner } from './lock.ts';
import { putBack } from './put-back.ts';
import { loginToPeer, remoteServer } from './server.ts';
import { armAgain } from './way-back.ts';

/** Seconds until the other server is asked again for its decision. */
const RETRY_SECONDS = 60;

/** What recover found and did with one transaction. */
export type Settled = {
  readonly id: TransactionId;
  readonly did: 'confirmed' | 'put back' | 'waits' | 'left';
  readonly why: string;
};

/**
 * Settles what an earlier run left open on this server, by the rules of the transaction: a peer or a lone server that is
 * not confirmed puts back; a coordinator that has not asked puts back; one that has asked does what the peer did.
 * @param only one transaction (the way back's timer), or all; a timer settles even while the lock's owner lives
 * @param by who settles: `itself` restarts nothing that interrupts the service, raises an alarm instead, and asks again
 * later where it has to wait for the other server
 */
export async function recover(
  host: Host,
  only: TransactionId | undefined,
  by: 'operator' | 'itself',
): Promise<Settled[]> {
  const owner = lockOwner(host);
  if (owner && owner.pid !== process.pid && only === undefined)
    return unfinished(host.root).map((id) => ({
      id,
      did: 'left',
      why: `${owner.operation} by ${owner.operator} is running`,
    }));
  const settled: Settled[] = [];
  for (const id of unfinished(host.root)) {
    if (only !== undefined && id !== only) continue;
    const one = await settle(host, id, by);
    settled.push(one);
    if (by === 'itself') raiseAlarm(host.root, `${id}: ${one.did}: ${one.why}`, host.system.clock());
    if (by === 'itself' && one.did === 'waits') await armAgain(host, id, RETRY_SECONDS);
  }
  return settled;
}

async function settle(host: Host, id: TransactionId, by: 'operator' | 'itself'): Promise<Settled> {
  const { manifest, states, decision } = readJournal(host.root, id);
  const back = async (why: string): Promise<Settled> => {
    const { edited, left, leftToDo } = await putBack(host, id, by);
    const more = [
      ...left.map((file) => `${file} was edited meanwhile and is left as it is`),
      ...edited.map((file) => `an edit made meanwhile is kept in ${file}`),
      ...leftToDo.map((unit) => `${unit} still runs with the other configuration: restart it`),
    ];
    return { id, did: 'put back', why: [why, ...more].join('; ') };
  };
  const forward = async (why: string): Promise<Settled> => {
    await confirm(host, id);
    return { id, did: 'confirmed', why };
  };
  if (decision === 'put-back') return back('it was decided to put it back, and not finished');
  if (decision === 'confirmed') return forward('it was confirmed, and not finished');
  if (manifest.part !== 'coordinator' || !states.includes('asked')) return back('it was never confirmed');
  // Only disable ends its own link before the decision: there is nobody left to ask, and both wanted it.
  if (!readLink(host.root))
    return forward(
      'this server ended the pair; if the other one still shows it, run `cmsadm config_HA disable --alone` there',
    );
  const theirs = await askPeer(host, id);
  if (theirs === 'confirmed') return forward('the other server confirmed');
  if (theirs === 'put-back' || theirs === 'unknown') return back('the other server put it back');
  return { id, did: 'waits', why: 'the other server must say what it decided, and cannot be asked' };
}

async function askPeer(
  host: Host,
  id: TransactionId,
): Promise<'confirmed' | 'put-back' | 'unknown' | 'undecided' | 'unreachable'> {
  const link = readLink(host.root);
  if (!link) return 'unreachable';
  try {
    const session = await loginToPeer(host, link);
    try {
      const peer = remoteServer(session);
      const outcome = await peer.outcome({ id });
      // Still undecided there although we asked: our question never arrived; it may put back at once.
      if (outcome !== 'undecided') return outcome;
      await peer.putBack({ id, by: 'itself' });
      return await peer.outcome({ id }).then((now) => (now === 'undecided' ? 'unreachable' : now));
    } finally {
      session.close();
    }
  } catch {
    return 'unreachable';
  }
}
