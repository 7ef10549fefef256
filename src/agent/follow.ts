import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import { append, makeFolders } from '../host/root.ts';
import type { Session } from '../host/session.ts';
import { type Link, type Pair, paths } from '../pair/state.ts';
import type { PassReport } from '../pair/sync-reports.ts';
import type { Agent, Asked } from './agent.ts';
import { makeBulk } from './bulk.ts';
import { isSystemError } from './data-set.ts';
import { exportSet } from './export.ts';
import { pruneKept } from './kept.ts';
import type { LiveSet } from './live-set.ts';
import { difference, fullPass, reportOf, type SetResult, sendChanges, troubleOf } from './pass.ts';
import { readPause } from './paused.ts';
import type { Line } from './send.ts';
import { askStanding } from './standing.ts';
import { nameOf } from './tree.ts';

/**
 * A full pass over an opened session, then every change as it happens, until the turn is over, the session is lost or
 * the other server has a newer epoch.
 * @throws CmsadmError session-lost, epoch-older, not-secondary, not-paired
 */
export async function follow(agent: Agent, session: Session, link: Link, pair: Pair): Promise<void> {
  agent.setFollowing(true);
  try {
    await followOn(agent, session, link, pair);
  } finally {
    agent.setFollowing(false);
  }
}

async function followOn(agent: Agent, session: Session, link: Link, pair: Pair): Promise<void> {
  const { host, timing, bell } = agent;
  let lost = false;
  void session.closed.then(() => {
    lost = true;
    bell.ring();
  });
  const own: Line = { ...makeLine(agent, session, pair.epoch), meanwhile: () => sendMeanwhile(agent, own) };
  const line = host.system.real ? { ...own, bulk: makeBulk(host, link, own) } : own;
  for (const live of agent.sets.values()) live.setLazy(true);
  const results = new Map<string, SetResult>();
  const remember = (live: LiveSet, result: SetResult): void => {
    results.set(live.set.name, result);
    const { name } = live.set;
    const trouble = troubleOf(name, result);
    if (trouble === '') agent.allAcross(name);
    const state = result.held === undefined ? 'stopped' : 'held';
    agent.tellSet(name, trouble === '' ? undefined : { state, why: result.held ?? trouble }, result.problems.length);
    const told = [...results].map(([set, one]) => troubleOf(set, one)).filter((text) => text !== '');
    agent.tell({ state: told.length === 0 ? 'in step' : told.join('; ') });
  };
  const exported = new Map<string, number>();
  /** Exports what lies in databases, each set at its time; a failure stands with the set. */
  const exportAll = async (): Promise<void> => {
    for (const live of agent.sets.values()) {
      const { name } = live.set;
      try {
        exported.set(name, await exportSet(agent, live.set, exported.get(name)));
      } catch (error) {
        if (!(error instanceof CmsadmError)) throw error;
        exported.set(name, performance.now());
        remember(live, { sent: 0, removed: 0, bytes: 0, problems: [], held: undefined, failure: error });
      }
    }
  };
  /** Sends what events told of, or whatever differs. */
  const send = async (live: LiveSet, whole: boolean): Promise<void> => {
    const since = live.since();
    agent.waitingSince(live.set.name, since);
    remember(live, await sendChanges(line, live, whole));
    if (since !== undefined) agent.tell({ lag: Math.max(0, host.system.clock() - since) });
  };
  const passAll = async (released?: string): Promise<PassReport[]> => {
    const reports: PassReport[] = [];
    for (const live of agent.sets.values()) {
      const began = performance.now();
      const { size } = live.tree.names;
      agent.tell({ passPercent: 0 });
      agent.waitingSince(live.set.name, live.since());
      const result = await fullPass(line, live, live.set.name === released, (seen) =>
        agent.tell({ passPercent: size === 0 ? 0 : Math.min(99, Math.floor((seen * 100) / size)) }),
      );
      remember(live, result);
      reports.push(reportOf(live.set.name, result, Math.round(performance.now() - began)));
    }
    logPass(agent, reports);
    agent.tell({ passPercent: null, lastPass: new Date(host.system.clock()).toISOString() });
    return reports;
  };
  const answer = async (request: Asked['request']): Promise<unknown> => {
    const paused = readPause(host.root);
    if (paused && request.kind !== 'difference')
      throw new CmsadmError('sync-paused', `Admin-sync is paused by ${paused.by} since ${paused.since}.`, {
        remedy: 'Let it go on: cmsadm sync resume.',
      });
    if (request.kind === 'pass') return passAll();
    if (request.kind === 'release') return passAll(request.set);
    if (request.kind === 'difference') {
      const found = [];
      for (const live of agent.sets.values())
        if (request.set === undefined || request.set === live.set.name) found.push(await difference(line, live));
      return found;
    }
    for (const live of agent.sets.values()) await send(live, true);
    const details = [...results].map(([set, one]) => troubleOf(set, one)).filter((text) => text !== '');
    const { seq, acked } = agent.status();
    if (details.length === 0 && seq === acked) return { epoch: pair.epoch, seq, acked };
    throw new CmsadmError('not-in-step', 'The other server does not have all administration data.', {
      details,
      remedy: 'Put these right; `cmsadm sync status` shows them.',
    });
  };

  await exportAll();
  if (readPause(host.root) === undefined) await passAll();
  let compared = performance.now();
  let folders = compared;
  let asked = compared;
  let wasPaused = readPause(host.root) !== undefined;
  let day = dayOf(host.system.clock());
  while (!agent.over()) {
    const paused = readPause(host.root);
    if (paused) agent.tell({ state: `paused by ${paused.by} since ${paused.since}` });
    const waiting = !paused && [...agent.sets.values()].some((live) => live.isDirty());
    const next = Math.min(
      asked + timing.heartbeat,
      folders + timing.folders,
      compared + timing.compare,
      ...nextExports(agent, exported),
    );
    if (!waiting && !lost) await bell.wait(Math.max(1, next - performance.now()));
    if (agent.over()) return;
    const now = performance.now();
    const isHeartbeat = lost || now - asked >= timing.heartbeat;
    if (isHeartbeat) {
      asked = now;
      if ((await askStanding(session, pair.epoch)).epoch > pair.epoch) return;
      takeEdits(agent, await session.call('agentEdits', { epoch: pair.epoch }));
    }
    await exportAll();
    await answerAll(agent, answer);
    if (readPause(host.root)) {
      wasPaused = true;
      continue;
    }
    if (wasPaused) {
      wasPaused = false;
      await passAll();
    }
    if (now - folders >= timing.folders) {
      folders = now;
      for (const live of agent.sets.values()) touchFolders(live);
    }
    if (dayOf(host.system.clock()) !== day) {
      day = dayOf(host.system.clock());
      await passAll();
      pruneKept(host, agent.profile.keepDays);
    }
    const whole = now - compared >= timing.compare;
    if (whole) compared = now;
    if ([...agent.sets.values()].some((live) => live.isDirty())) await sleep(timing.coalesce);
    for (const live of agent.sets.values()) {
      const before = results.get(live.set.name);
      // What is held or failed is looked at as a whole: the events of what it left out are gone.
      const again = before?.failure !== undefined || before?.held !== undefined || (before?.problems.length ?? 0) > 0;
      if (whole || live.isDirty() || (again && isHeartbeat)) await send(live, whole || again);
    }
  }
}

/** A set that can't be read is told when it is looked at. */
function touchFolders(live: LiveSet): void {
  try {
    live.touchChangedFolders();
  } catch (error) {
    if (!(error instanceof CmsadmError) && !isSystemError(error)) throw error;
    live.again();
  }
}

const nextExports = (agent: Agent, last: ReadonlyMap<string, number>): number[] =>
  [...agent.sets.values()].flatMap(({ set: { name, exported } }) =>
    exported ? [(last.get(name) ?? 0) + exported.every * 1000] : [],
  );

const dayOf = (clock: number): string => new Date(clock).toDateString();

function makeLine(agent: Agent, session: Session, epoch: number): Line {
  let seq = agent.status().seq;
  return {
    session,
    epoch,
    busy: new Map(),
    next: () => {
      seq += 1;
      agent.tell({ seq });
      return seq;
    },
    acknowledged: (number, set) => {
      agent.acknowledged(set);
      agent.tell({ acked: number });
    },
  };
}

/** Sends what events told of while large files are on their way; what is in the way of it is told after them. */
async function sendMeanwhile(agent: Agent, line: Line): Promise<void> {
  if (agent.over() || readPause(agent.host.root)) return;
  for (const live of agent.sets.values()) {
    if (!live.hasOthers(line.busy?.get(live.set.name) ?? new Set())) continue;
    if (troubleOf(live.set.name, await sendChanges(line, live, false)) !== '') live.again();
  }
}

const editsSchema = v.record(v.string(), v.array(v.tuple([v.string(), v.nullable(v.string())])));

/** What was edited on the other server is sent again: there it is kept, here it is the truth. */
function takeEdits(agent: Agent, told: unknown): void {
  for (const [set, edits] of Object.entries(v.parse(editsSchema, told))) {
    const live = agent.sets.get(set);
    if (!live) continue;
    for (const [path, sign] of edits) nameOf(live.tree, path).there = sign ?? undefined;
    live.touch(edits.map(([path]) => path));
  }
}

/** Answers what was asked meanwhile; what ends the session ends all questions with it. */
async function answerAll(agent: Agent, answer: (request: Asked['request']) => Promise<unknown>): Promise<void> {
  let ended: { readonly error: unknown } | undefined;
  for (const { request, resolve, reject } of agent.takeAsked())
    try {
      if (ended) throw ended.error;
      resolve(await answer(request));
    } catch (error) {
      reject(error);
      if (!(error instanceof CmsadmError) || !['not-in-step', 'sync-paused'].includes(error.code)) ended = { error };
    }
  if (ended) throw ended.error;
}

const counts = ({ set, sent, removed, bytes, why }: PassReport): string =>
  `${set} ${sent} sent, ${removed} removed, ${bytes} bytes${why === '' ? '' : ` (${why})`}`;

function logPass(agent: Agent, reports: readonly PassReport[]): void {
  const text = reports.map(counts).join('; ');
  agent.log(`full pass: ${text}`);
  const seconds = reports.reduce((sum, { milliseconds }) => sum + milliseconds, 0) / 1000;
  const outcome = reports.every(({ ok }) => ok) ? 'ok' : 'failed';
  const at = new Date(agent.host.system.clock()).toISOString();
  makeFolders(agent.host.root, '/var/log/cmsadm', 0o750);
  append(agent.host.root, paths.syncLog, `${at} full pass: ${outcome}: ${text}; ${seconds.toFixed(1)} s\n`);
}
