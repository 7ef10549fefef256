import { setTimeout as sleep } from 'node:timers/promises';
import type { Session } from '../host/session.ts';
import { readPair } from '../pair/state.ts';
import type { WantedStatus } from '../pair/sync-status.ts';
import type { SyncView } from '../report.ts';
import type { CommandContext } from './context.ts';
import { agentsOfBoth, viewOf } from './sync-agents.ts';

/** How the other server stands to what was changed here. */
export type OtherStands = {
  readonly name: string;
  readonly state: 'as wanted' | 'not yet' | 'not asked';
  /** What differs there, or why it was not asked. */
  readonly lines: readonly string[];
};

/** So long it is waited for, and so often it is asked, in milliseconds. */
const patience = { most: 15_000, every: 250 };

/**
 * Waits a few seconds until the other server tells that it stands as wanted after a change that was committed here, and
 * says how it stands. Nothing of it fails: that server follows by itself in any case.
 * @param committed when, by this server's clock
 * @returns undefined where there is no other server, or nothing is applied by itself
 */
export async function awaitOther(
  context: CommandContext,
  committed: number,
  { most, every } = patience,
): Promise<OtherStands | undefined> {
  const { host, profile, report } = context;
  if (!readPair(host.root) || !profile.dataSets.some(({ wanted }) => wanted)) return undefined;
  const [own, other] = await agentsOfBoth(context);
  if (!own || !other) return undefined;
  const end = report.step(`Waiting until ${other.name} stands as wanted`);
  const sessions: Session[] = [];
  let isOver = false;
  const kept = (open: () => Promise<Session>): (() => Promise<Session>) => {
    let opening: Promise<Session> | undefined;
    return () => {
      opening ??= open().then((session) => {
        sessions.push(session);
        if (isOver) session.close();
        return session;
      });
      return opening;
    };
  };
  const [here, there] = [kept(own.open), kept(other.open)];
  const until = performance.now() + most;
  const leave = new AbortController();
  const timeUp = sleep(most, undefined, { signal: leave.signal }).catch(() => undefined);
  let last: OtherStands = { name: other.name, state: 'not asked', lines: ['it did not answer in time'] };
  try {
    for (;;) {
      // First here: what is not there yet can't be as wanted.
      const looked = Promise.all([viewOf(own.name, here), viewOf(other.name, there)]);
      const views = await Promise.race([looked, timeUp]);
      if (!views) break;
      last = standOf(other.name, views, committed, host.system.clock());
      if (last.state !== 'not yet' || performance.now() + every > until) break;
      await sleep(every);
    }
  } finally {
    isOver = true;
    leave.abort();
    for (const session of sessions) session.close();
  }
  end(last.state === 'as wanted' ? 'done' : 'failed');
  tell(context, last);
  return last;
}

/** What two answers come to; pure. */
export function standOf(
  name: string,
  [here, there]: readonly [SyncView, SyncView],
  committed: number,
  now: number,
): OtherStands {
  const away = here.error ?? there.error;
  if (!here.status || !there.status) return { name, state: 'not asked', lines: [away?.message ?? 'it did not answer'] };
  const { status } = here;
  const late = status.sets.filter((set) => set.wanted && (set.state !== 'in step' || set.queue > 0));
  // Nobody counts what waits while all is stopped.
  const isAcross = late.length === 0 && !status.paused && !status.restoring;
  const isInTheWay = !isAcross && status.state !== 'in step';
  const told = there.status.sets.flatMap(({ wanted }) => wanted ?? []);
  // By its clock, which may be another: so long ago it was committed here.
  const since = Date.parse(there.status.at) - (now - committed);
  const isAfter = ({ at }: WantedStatus): boolean => Date.parse(at) >= since;
  const differs = told.filter(({ state, at }) => state !== 'as wanted' && Date.parse(at) >= since);
  if (isAcross && told.length > 0 && told.every((one) => isAfter(one) && one.state === 'as wanted'))
    return { name, state: 'as wanted', lines: [] };
  return {
    name,
    state: 'not yet',
    lines: differs.length > 0 ? differs.flatMap(({ lines }) => lines) : [isInTheWay ? status.state : 'it is at it'],
  };
}

function tell({ report }: CommandContext, { name, state, lines }: OtherStands): void {
  if (state === 'as wanted') {
    report.line(`${name} stands as wanted, too.`);
    return;
  }
  report.warn(
    state === 'not yet'
      ? `${name} does not stand as wanted yet: ${lines.join('; ')}.`
      : `${name} could not be asked how it stands: ${lines.join('; ')}`,
  );
  report.warn('It follows by itself; `cmsadm sync status` shows how it stands.');
}
