import { CmsadmError, explained } from '../errors.ts';
import type { Host } from '../host/system.ts';
import { openAdminLog } from '../pair/admin-log.ts';
import { type Alarm, clearAlarms, raiseAlarm, readAlarms } from '../pair/alarms.ts';
import { type EventId, eventLine } from '../pair/events.ts';
import { readLink } from '../pair/state.ts';
import type { TransactionId } from '../pair/tag.ts';
import { printable } from '../printable.ts';
import { confirm } from './apply.ts';
import { endOwner } from './end-owner.ts';
import { decide, note, readableJournal, readJournal, unfinished, untold } from './journal.ts';
import { lockOwner } from './lock.ts';
import { putBack } from './put-back.ts';
import { loginToPeer, remoteServer } from './remote-server.ts';
import { tidy } from './tidy.ts';
import { type Answer, afterAnswer, settlement } from './transitions.ts';
import { armAgain, disarm } from './way-back.ts';
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

/** What recover found on one server, and the alarms that stand there. */
export type Recovered = { readonly settled: readonly Settled[]; readonly alarms: readonly Alarm[] };

export const isOpen = ({ did }: Settled): boolean => did === 'waits' || did === 'left';

type By = 'operator' | 'itself';

/**
 * Settles what an earlier run left open on this server, by the rules of transitions.ts. What can't be settled is named
 * and the rest goes on. What a link that has ended leaves behind is for the caller's last step (afterwards.ts).
 * @param only one transaction (the way back's timer), or all; a timer ends the run that is late, and nobody else's
 * @param by who settles: `itself` restarts nothing that interrupts the service, raises an alarm and logs instead, and
 * tries again later where it has to wait
 */
export async function recover(host: Host, only: TransactionId | undefined, by: By): Promise<Settled[]> {
  if (only === undefined && by === 'operator') tidy(host);
  if (only === undefined && by === 'itself') leniently(() => tidy(host));
  for (const id of untold(host.root)) if (only === undefined || id === only) await tellLate(host, id);
  const settled: Settled[] = [];
  for (const id of unfinished(host.root)) {
    if (only !== undefined && id !== only) continue;
    const one = await settle(host, id, by, only !== undefined).catch((error) => left(id, error));
    // Before anything that a full disk may refuse. The boot and the next command settle it too, where no timer can be had.
    if (by === 'itself' && isOpen(one)) await armAgain(host, id, RETRY_SECONDS).catch(() => undefined);
    const meanwhile = isOpen(one) ? bySomebodyElse(host, id) : undefined;
    settled.push(meanwhile ?? one);
    // He has told it, and may have disarmed it right before we armed it again.
    if (by === 'itself') await (meanwhile ? disarm(host, id) : tell(host, one));
  }
  // A timer touches nobody else's change; when none is open, nobody comes after it.
  if (only !== undefined && unfinished(host.root).length === 0) leniently(() => tidy(host));
  return settled;
}

/** Whoever settled it while we looked at it, or asked the other server; undefined where it is open still. */
function bySomebodyElse({ root }: Host, id: TransactionId): Settled | undefined {
  if (unfinished(root).includes(id)) return undefined;
  const isConfirmed = readableJournal(root, id)?.decision === 'confirmed';
  return { id, did: isConfirmed ? 'confirmed' : 'put back', why: 'somebody else settled it meanwhile', toDo: [] };
}

/** Clears the alarms that a person has seen, where nothing is open any more. */
export function acknowledge(host: Host, settled: readonly Settled[], seen: readonly Alarm[]): Recovered {
  if (!settled.some(isOpen)) clearAlarms(host.root, seen);
  return { settled, alarms: readAlarms(host.root) };
}

/** Puts back what waits for a server that is gone for good, by the word of an operator. */
export const settleAlone = (host: Host, id: TransactionId, gone: string): Promise<Settled> =>
  backAndTell(host, id, 'operator', `${gone} is gone for good, the operator says`).catch((error) => left(id, error));

/** A foreseen failure, or one of the disk, is told and does not keep the others from being settled. */
function left(id: TransactionId, thrown: unknown): Settled {
  const error = explained(thrown);
  if (!(error instanceof CmsadmError)) throw error;
  const why = [error.message.replace(/\.$/, ''), ...error.details].join('; ');
  return { id, did: 'left', why, toDo: error.remedy === undefined ? [] : [error.remedy] };
}

// Nobody is there: an alarm, the log and the journal tell it, and what is not done yet is tried again.
async function tell(host: Host, one: Settled): Promise<void> {
  const { root, system } = host;
  const text = `${one.id}: ${one.did}: ${one.why}`;
  let isNews = true;
  const isRaised = leniently(() => {
    isNews = !readAlarms(root).some((alarm) => withoutPids(alarm.text) === withoutPids(text));
    if (isNews) raiseAlarm(root, text, system.clock());
  });
  if (one.did === 'put back') await noteTold(host, one.id, isRaised);
  if (!isNews) return;
  leniently(() => logOutcome(host, text));
  await system.journal(eventLine(eventOf[one.did], printable(text)));
}

/** Raises the alarm that found no room when a change was put back, or whose process died before it. */
async function tellLate(host: Host, id: TransactionId): Promise<void> {
  const { root, system } = host;
  const begin = `${id}: put back: `;
  const text = [`${begin}it could not be told when it was`, ...readJournal(root, id).leftToDo.map(stillRuns)].join(
    '; ',
  );
  const isRaised = leniently(() => {
    if (!readAlarms(root).some((alarm) => alarm.text.startsWith(begin))) raiseAlarm(root, text, system.clock());
  });
  await noteTold(host, id, isRaised);
}

/** What could not be told is told by a further try: its timer's, that of a boot, or a person's. */
async function noteTold(host: Host, id: TransactionId, isRaised: boolean): Promise<void> {
  if (isRaised) leniently(() => note(host.root, id, 'told', host.system.clock()));
  else await armAgain(host, id, RETRY_SECONDS).catch(() => undefined);
}

const stillRuns = (unit: string): string => `${unit} still runs with the other configuration: restart it`;

const eventOf = {
  'put back': 'change-put-back',
  confirmed: 'change-confirmed-late',
  waits: 'change-waits',
  left: 'change-not-settled',
} as const satisfies Readonly<Record<Settled['did'], EventId>>;

// The system names the temporary file that it refused; each try has another one.
const withoutPids = (text: string): string => text.replaceAll(/\.\d+(?=['.])/g, '');

const logOutcome = ({ root, system: { clock } }: Host, text: string): void =>
  openAdminLog(root, { pid: process.pid, operator: 'cmsadm', what: 'recover by itself' }, clock, nobody).outcome(text);

/** The alarm and the journal tell what the log had no room for. */
const nobody = (): void => undefined;

/** What can't be told or tidied keeps nobody from what is to be done. @returns whether it could */
function leniently(work: () => void): boolean {
  try {
    work();
    return true;
  } catch (thrown) {
    if (!(explained(thrown) instanceof CmsadmError)) throw thrown;
    return false;
  }
}

async function settle(host: Host, id: TransactionId, by: By, isTimer: boolean): Promise<Settled> {
  const { manifest, ruling } = readJournal(host.root, id);
  const owner = lockOwner(host);
  const other = owner?.pid === process.pid ? undefined : owner;
  const late = other && isTimer && isWorkOf(other, manifest) ? other : undefined;
  if (other && !late) return { id, did: 'left', why: `${other.operation} by ${other.operator} is running`, toDo: [] };

  const back = async (why: string): Promise<Settled> => {
    // Decided first: the late run can confirm no more. One that is still writing is ended; one that only waits is left
    // to tell its operator.
    const now = decide(host.root, id, 'put-back', ruling === 'asked' || manifest.part !== 'coordinator');
    if (now === 'confirmed') return forward('it was confirmed at this moment');
    // The run has asked the peer since we looked: only the peer's word counts.
    if (now === 'asked') return settle(host, id, by, isTimer);
    if (late && !readJournal(host.root, id).states.includes('committed')) await endOwner(host, late, 0);
    return backAndTell(host, id, by, why);
  };
  const forward = async (why: string): Promise<Settled> => {
    await confirm(host, id, 'later');
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
    ...leftToDo.map(stillRuns),
  ];
  const toDo = leftToDo.map((unit) => `Restart ${unit}: it still runs with the configuration that was put back.`);
  return { id, did: 'put back', why: [why, ...more].join('; '), toDo };
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
