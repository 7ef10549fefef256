import type { Host } from '../host/system.ts';
import { type EventId, eventLine } from '../pair/events.ts';
import { type SyncStatus, type WantedStatus, writeStatus } from '../pair/sync-status.ts';
import { readConflicts } from './conflicts.ts';
import { isSystemError } from './data-set.ts';
import type { LiveSet } from './live-set.ts';
import { readHold, readPause, whyStopped } from './paused.ts';
import { makeStall } from './stall.ts';
import { raiseOnce, settleBut } from './standing-alarms.ts';

type SetStatus = SyncStatus['sets'][number];
type Trouble = { readonly state: 'held' | 'stopped' | 'undecided'; readonly why: string };
type News = Partial<
  Pick<SyncStatus, 'role' | 'epoch' | 'state' | 'lastPass' | 'lag' | 'passPercent' | 'seq' | 'acked'>
>;

/** How the agent tells what it does: its status, its log, alarms. */
export type Teller = {
  /** Changes the status; a new role or state is also logged. */
  tell(news: News): void;
  status(): SyncStatus;
  /** Writes the status a last time; nothing is written after it. */
  end(): void;
  /** How a data set stands: what is in the way, and the names that wait. Trouble is an alarm until it is over. */
  tellSet(name: string, trouble: Trouble | undefined, waiting: number): void;
  /** So many changes of a data set are to be sent from now on. @param isBeside besides those that are on their way */
  toSend(name: string, changes: number, isBeside: boolean): void;
  /** Since when a data set's changes wait (performance.now), unless older ones wait already. */
  waitingSince(name: string, since: number | undefined): void;
  /** Nothing of a data set waits any more. */
  allAcross(name: string): void;
  /** Logs something that happened, with its id. */
  event(id: EventId, text: string): void;
  /** How this server stands to the wanted state of a data set; anything but as wanted is an alarm until it is over. */
  tellWanted(name: string, wanted: WantedStatus): void;
  /** The other server answered something. */
  progressed(): void;
  /** Raises an alarm if something waits and nothing was answered for so many milliseconds; settles it when that is over. */
  lookForStall(milliseconds: number): void;
  /** Writes the status anew while something is late, which gets later; else after so many milliseconds. */
  refresh(milliseconds: number): void;
  /** So many changes of a data set are on the other server's disk. */
  acknowledged(name: string, changes: number): void;
};

/** At least so many milliseconds between two writings of the status, unless the state itself changes. */
const RARELY = 500;

export function makeTeller(host: Host, sets: ReadonlyMap<string, LiveSet>, log: (line: string) => void): Teller {
  const perSet = new Map([...sets.keys()].map((name) => [name, makeCount()]));
  let current: News & Pick<SyncStatus, 'role' | 'epoch' | 'state'> = { role: 'none', epoch: 0, state: 'starting' };
  let written = 0;
  let later: NodeJS.Timeout | undefined;
  let ended = false;

  // As it goes now: a clock that jumped meanwhile tells no lag of days.
  const wallClockAt = (instant: number): number => host.system.clock() - (performance.now() - instant);

  const setStatus = (name: string, live: LiveSet): SetStatus => {
    const { trouble, waiting, since, sent, minute, compared, wanted } = perSet.get(name) ?? makeCount();
    const oldest = [since, live.since()].filter((one) => one !== undefined);
    // Before the first comparison nobody knows.
    const isWaiting = waiting > 0 || oldest.length > 0 || (!compared && current.role === 'primary');
    return {
      name,
      state: trouble?.state ?? (isWaiting ? 'sending' : 'in step'),
      why: trouble?.why ?? '',
      queue: waiting,
      oldest: oldest.length === 0 ? null : new Date(wallClockAt(Math.min(...oldest))).toISOString(),
      names: live.tree.names.size,
      sent,
      lastMinute: minute.within(60_000),
      ...(wanted ? { wanted } : {}),
    };
  };
  const status = (): SyncStatus => {
    const all = [...sets].map(([name, live]) => setStatus(name, live));
    return {
      lastPass: null,
      lag: null,
      passPercent: null,
      seq: 0,
      acked: 0,
      ...current,
      queue: all.reduce((sum, { queue }) => sum + queue, 0),
      paused: readPause(host.root) ?? null,
      restoring: readHold(host.root),
      conflicts: readConflicts(host).length,
      sets: all,
      pid: process.pid,
      at: new Date(host.system.clock()).toISOString(),
    };
  };
  const write = (): void => {
    clearTimeout(later);
    later = undefined;
    if (ended) return;
    written = performance.now();
    try {
      writeStatus(host.root, status());
    } catch (error) {
      // A full disk must not end the agent: it is asked by its socket as well.
      if (!isSystemError(error)) throw error;
      log(`the status cannot be written: ${error.message}`);
    }
  };
  const writeSoon = (): void => {
    if (performance.now() - written >= RARELY) write();
    else later ??= setTimeout(write, RARELY).unref();
  };

  const event = (id: EventId, text: string): void => log(eventLine(id, text));
  /** Nobody waits for what runs beside the loop: a full disk must not end the agent there. */
  const orLogged = (work: () => void): void => {
    try {
      work();
    } catch (error) {
      if (!isSystemError(error)) throw error;
      log(`the alarms cannot be written: ${error.message}`);
    }
  };
  const stall = makeStall(host, event);
  const isWaiting = (): boolean =>
    current.role === 'primary' &&
    whyStopped(host.root) === undefined &&
    [...sets].some(([name, live]) => {
      const { trouble, waiting, since } = perSet.get(name) ?? makeCount();
      // What is held or stopped has an alarm of its own.
      return !trouble && (waiting > 0 || since !== undefined || live.since() !== undefined);
    });

  const isLate = (): boolean =>
    [...sets].some(([name, live]) => {
      const { state, oldest } = setStatus(name, live);
      return state !== 'in step' || oldest !== null;
    });

  return {
    status,
    event,
    end: () => {
      write();
      ended = true;
    },
    tell: (news) => {
      const { role, epoch, state } = current;
      if (news.passPercent !== undefined) stall.progressed();
      const newRole = (news.role ?? role) !== role || (news.epoch ?? epoch) !== epoch;
      // What was in the way was so for the role before.
      if (newRole) for (const [name, count] of perSet) forget(host, name, count);
      current = {
        ...current,
        ...(newRole ? { state: 'connecting to the other server', seq: 0, acked: 0 } : {}),
        ...news,
      };
      // Whoever waits for a pass reads here that it is over.
      if (!newRole && current.state === state) return news.lastPass === undefined ? writeSoon() : write();
      log(current.role === 'none' ? current.state : `${current.role}, epoch ${current.epoch}: ${current.state}`);
      write();
    },
    tellSet: (name, trouble, waiting) => {
      const count = perSet.get(name);
      if (!count) return;
      const { trouble: before, compared } = count;
      const isTold = compared && before?.why === trouble?.why;
      // Not before its alarm stands: a full disk is tried again.
      Object.assign(count, { waiting, trouble, compared: isTold });
      if (isTold) return;
      // The first time too: an alarm of a run before this one may be over.
      settle(host, name, trouble && alarmText(name, trouble));
      if (trouble) raiseOnce(host, alarmText(name, trouble));
      count.compared = true;
      if (trouble) event(begins[trouble.state], alarmText(name, trouble));
      else if (before) event(ends[before.state], `${name} goes on`);
    },
    toSend: (name, changes, isBeside) => {
      const count = perSet.get(name);
      if (count) count.waiting = changes + (isBeside ? count.waiting : 0);
    },
    waitingSince: (name, since) => {
      const count = perSet.get(name);
      if (count) count.since ??= since;
    },
    allAcross: (name) => {
      const count = perSet.get(name);
      if (count) count.since = undefined;
    },
    tellWanted: (name, wanted) => {
      const count = perSet.get(name);
      if (!count) return;
      const before = count.wanted;
      count.wanted = wanted;
      const head = `This server does not stand as the data set ${name} wants it:`;
      const text = `${head} ${[wanted.state, wanted.lines.join('; ')].filter((part) => part !== '').join(': ')}`;
      const isWanted = wanted.state === 'as wanted';
      orLogged(() => {
        settleBut(host, [head], isWanted ? undefined : text);
        if (!isWanted) raiseOnce(host, text);
      });
      if (!isWanted && (before?.state !== wanted.state || before.lines.join() !== wanted.lines.join()))
        event('wanted-differs', text);
      if (isWanted && before && before.state !== 'as wanted') event('wanted-reached', name);
      writeSoon();
    },
    progressed: stall.progressed,
    lookForStall: (milliseconds) => orLogged(() => stall.look(isWaiting(), milliseconds, current.state)),
    refresh: (milliseconds) => {
      if (performance.now() - written >= (isLate() ? RARELY : milliseconds)) write();
    },
    acknowledged: (name, changes) => {
      const count = perSet.get(name);
      if (!count) return;
      count.sent += changes;
      count.waiting = Math.max(0, count.waiting - changes);
      count.minute.add(changes);
    },
  };
}

const begins = { held: 'sync-held', stopped: 'sync-stopped', undecided: 'sync-undecided' } as const;
const ends = { held: 'sync-released', stopped: 'sync-recovered', undecided: 'sync-decided' } as const;

type Count = {
  trouble: Trouble | undefined;
  waiting: number;
  since: number | undefined;
  compared: boolean;
  sent: number;
  wanted: WantedStatus | undefined;
  readonly minute: { add(changes: number): void; within(milliseconds: number): number };
};

function makeCount(): Count {
  // One number a second is enough.
  const seconds = new Map<number, number>();
  const now = (): number => Math.floor(performance.now() / 1000);
  return {
    trouble: undefined,
    waiting: 0,
    since: undefined,
    compared: false,
    sent: 0,
    wanted: undefined,
    minute: {
      add: (changes) => {
        seconds.set(now(), (seconds.get(now()) ?? 0) + changes);
        for (const second of seconds.keys()) if (second < now() - 60) seconds.delete(second);
      },
      within: (milliseconds) => {
        const first = now() - milliseconds / 1000;
        return [...seconds].reduce((sum, [second, count]) => (second > first ? sum + count : sum), 0);
      },
    },
  };
}

const heads = (name: string): Record<Trouble['state'], string> => ({
  held: `The data set ${name} is held:`,
  stopped: `Admin-sync of the data set ${name} is stopped:`,
  undecided: `The data set ${name} is undecided:`,
});

const tails = (name: string): Record<Trouble['state'], string> => ({
  held: `Nothing of it is sent. Let it go on: cmsadm sync release ${name}`,
  stopped: 'It goes on by itself as soon as that is over.',
  undecided: 'Nothing of it is sent until then; what loses is kept aside.',
});

const alarmText = (name: string, { state, why }: Trouble): string =>
  `${heads(name)[state]} ${why} ${tails(name)[state]}`;

function forget(host: Host, name: string, count: Count): void {
  if (count.trouble) settle(host, name, undefined);
  Object.assign(count, { trouble: undefined, waiting: 0, since: undefined, compared: false });
}

/** Takes away the alarms of a data set's troubles, but for the one that stands. */
const settle = (host: Host, name: string, standing: string | undefined): void =>
  settleBut(host, Object.values(heads(name)), standing);
