import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import type { Session } from '../host/session.ts';
import type { Link, Pair } from '../pair/state.ts';
import type { PassReport } from '../pair/sync-reports.ts';
import type { Agent, Asked } from './agent.ts';
import { answered, carriedOf } from './answers.ts';
import { makeBulk } from './bulk.ts';
import { isSystemError } from './data-set.ts';
import { exportSet } from './export.ts';
import type { LetGo } from './guard.ts';
import { takeTheirs } from './keep-theirs.ts';
import { type Line, makeLine, progressing } from './line.ts';
import type { LiveSet } from './live-set.ts';
import {
  difference,
  ending,
  fullPass,
  lookOnly,
  reportOf,
  type SetResult,
  sendChanges,
  troubleOf,
  waitingOf,
} from './pass.ts';
import { logPass } from './pass-log.ts';
import { endHold, readPause, refuseStopped, whyStopped } from './paused.ts';
import { renderAndApply } from './render.ts';
import { askStanding } from './standing.ts';
import { nameOf } from './tree.ts';
import { undecidedError } from './undecided.ts';

/**
 * A full pass over an opened session, then every change as it happens, until the turn is over, the session is lost or
 * the other server has a newer epoch.
 * @throws CmsadmError session-lost, answer-refused, epoch-older, not-secondary, not-paired
 */
export async function follow(agent: Agent, session: Session, link: Link, pair: Pair): Promise<void> {
  agent.setFollowing(true);
  try {
    await followOn(agent, session, link, pair);
  } finally {
    agent.setFollowing(false);
    // A pass that was cut off.
    if (agent.status().passPercent !== null) agent.tell({ passPercent: null });
  }
}

async function followOn(agent: Agent, session: Session, link: Link, pair: Pair): Promise<void> {
  const { host, timing, bell } = agent;
  let lost = false;
  void session.closed.then(() => {
    lost = true;
    bell.ring();
  });
  const own: Line = { ...makeLine(agent, session, pair.epoch), meanwhile: () => sendMeanwhile() };
  const line = host.system.real ? { ...own, bulk: progressing(agent, makeBulk(host, link, own)) } : own;
  for (const live of agent.sets.values()) {
    live.setLazy(true);
    // What it had under another role, or another session, says nothing.
    live.tree.compared = false;
  }
  const results = new Map<string, SetResult>();
  /** Why the last export of a data set failed: it is not in step, whatever of it is across. */
  const unexported = new Map<string, CmsadmError>();
  /** What failed stays dirty: it is tried again with each sign of life, not all the time. */
  const failed = new Set<string>();
  const isNew = (live: LiveSet): boolean => live.isDirty() && !failed.has(live.set.name);
  /** What is held or failed is looked at as a whole: the events of what it left out are gone. */
  const isUnfinished = (result: SetResult | undefined): boolean =>
    result !== undefined && (result.held !== undefined || result.failure !== undefined || result.problems.length > 0);
  const remember = (live: LiveSet, sent: SetResult): SetResult => {
    const { name } = live.set;
    if (sent.failure) failed.add(name);
    else failed.delete(name);
    const own = unexported.get(name) ?? agent.unapplied.get(name) ?? agent.unrendered.get(name);
    const result = { ...sent, failure: sent.failure ?? own };
    results.set(name, result);
    const trouble = troubleOf(name, result);
    if (trouble === '') agent.allAcross(name);
    const undecidedWhy = result.failure?.code === 'set-undecided' ? result.failure.message : undefined;
    const state = undecidedWhy
      ? 'undecided'
      : result.held === undefined && result.failure?.code !== 'folder-other'
        ? 'stopped'
        : 'held';
    const why = undecidedWhy ?? result.held ?? trouble;
    agent.tellSet(name, trouble === '' ? undefined : { state, why }, waitingOf(live, result));
    const told = [...results].map(([set, one]) => troubleOf(set, one)).filter((text) => text !== '');
    agent.tell({ state: told.length === 0 ? 'in step' : told.join('; ') });
    return result;
  };
  /** Data sets of which the other server takes nothing before a person has decided. */
  let { undecided } = await askStanding(session, pair.epoch);
  const waits = ({ set: { name } }: LiveSet): CmsadmError | undefined => {
    const mark = undecided[name];
    return mark && undecidedError(pair, name, mark);
  };
  /** Why nothing of a data set is sent now: what could not be exported may be torn since a power cut. */
  const hindered = (live: LiveSet): CmsadmError | undefined => waits(live) ?? unexported.get(live.set.name);
  const exported = new Map<string, number>();
  /** Exports what lies in databases, each set at its time or all at once; a failure stands with the set. */
  const exportAll = async (atOnce = false): Promise<void> => {
    for (const live of agent.sets.values()) {
      const { name } = live.set;
      const last = atOnce ? undefined : exported.get(name);
      try {
        const done = await exportSet(agent, live.set, last);
        exported.set(name, done);
        if (done !== last) unexported.delete(name);
      } catch (error) {
        if (!(error instanceof CmsadmError)) throw error;
        exported.set(name, performance.now());
        unexported.set(name, error);
        remember(live, { sent: 0, removed: 0, bytes: 0, problems: [], held: undefined, failure: error, leftOut: [] });
      }
    }
  };
  /** Sends what events told of, or whatever differs. */
  const send = async (live: LiveSet, whole: boolean): Promise<void> => {
    const since = live.since();
    agent.waitingSince(live.set.name, since);
    await renderAndApply(agent, live);
    const failure = hindered(live);
    if (failure) {
      remember(live, await lookOnly(live, failure));
      return;
    }
    remember(live, await sendChanges(line, live, whole));
    if (since !== undefined) agent.tell({ lag: Math.round(performance.now() - since) });
  };
  /**
   * Sends what events told of while large files are on their way: of their set what is not among them, of others all. What
   * is in the way of it is told at once.
   */
  const sendMeanwhile = async (): Promise<void> => {
    for (const live of agent.sets.values()) {
      // Reads files: not every few milliseconds.
      if (agent.over() || whyStopped(host.root) !== undefined) return;
      const { name } = live.set;
      const busy = line.busy?.get(name);
      if (busy && live.hasOthers(busy) && !hindered(live)) {
        const result = await sendChanges(line, live, false);
        if (!isUnfinished(result)) continue;
        live.again();
        remember(live, result);
      }
      // What was never compared has its turn; of what is held nothing goes before that.
      if (!busy && live.tree.compared && isNew(live) && results.get(name)?.held === undefined)
        await send(live, isUnfinished(results.get(name)));
    }
  };
  const passOne = async (live: LiveSet, letGo: LetGo): Promise<PassReport> => {
    const began = performance.now();
    const { size } = live.tree.names;
    await renderAndApply(agent, live);
    agent.tell({ passPercent: 0 });
    agent.waitingSince(live.set.name, live.since());
    const failure = hindered(live);
    // What the other server has is asked before anything is sent.
    if (failure) live.tree.uncertain = true;
    const result = failure
      ? await lookOnly(live, failure)
      : await fullPass(line, live, letGo, (seen) =>
          agent.tell({ passPercent: size === 0 ? 0 : Math.min(99, Math.floor((seen * 100) / size)) }),
        );
    const remembered = remember(live, result);
    agent.wantedBells.get(live.set.name)?.ring();
    return reportOf(live.set.name, remembered, Math.round(performance.now() - began));
  };
  /** @param letGo what the guard is not to hold of a data set; @param why what the log says besides */
  const passOver = async (
    lives: Iterable<LiveSet>,
    letGo: (set: string) => LetGo,
    why: string,
  ): Promise<PassReport[]> => {
    const reports: PassReport[] = [];
    try {
      for (const live of lives) reports.push(await passOne(live, letGo(live.set.name)));
    } catch (error) {
      if (error instanceof CmsadmError) logPass(agent, reports, why, error);
      throw error;
    }
    logPass(agent, reports, why);
    agent.tell({ passPercent: null, lastPass: new Date(host.system.clock()).toISOString() });
    return reports;
  };
  const passAll = (released?: string): Promise<PassReport[]> =>
    passOver(agent.sets.values(), (set) => (set === released ? 'all' : 'nothing'), '');
  const answer = async (request: Asked['request']): Promise<unknown> => {
    // Between two pieces of work: nothing is under way.
    if (request.kind === 'quiet') return null;
    if (request.kind === 'restored') {
      if (readPause(host.root)) refuseStopped(host.root);
      await exportAll(true);
      const reports = await passOver(agent.sets.values(), () => 'losses', ` after the restore ${request.tag}`);
      // What waits for a decision is sent after that, and what the guard holds after its release.
      const waiting = (set: string): boolean => undecided[set] !== undefined || results.get(set)?.held !== undefined;
      const details = reports.filter(({ ok, set }) => !ok && !waiting(set)).map(({ why }) => why);
      if (details.length > 0)
        throw new CmsadmError('not-in-step', `The full pass after the restore ${request.tag} was not whole.`, {
          details,
          remedy: `Put these right, and run it again; until then admin-sync stays held.`,
        });
      endHold(host, request.tag);
      agent.event('sync-released', `the restore ${request.tag} has ended with a full pass`);
      return reports;
    }
    if (request.kind !== 'difference') refuseStopped(host.root);
    if (request.kind === 'keep') {
      const live = agent.sets.get(request.set);
      if (!live || !waits(live))
        throw new CmsadmError('not-undecided', `The data set ${request.set} waits for no decision.`, {
          remedy: '`cmsadm sync status` shows how each data set stands.',
        });
      // What its own database holds by now is kept as well.
      if (request.keeps === 'secondary') await exportSet(agent, live.set, undefined);
      if (request.keeps === 'secondary') await takeTheirs(agent, line, live);
      await session.call('agentDecided', { epoch: pair.epoch, set: request.set });
      ({ undecided } = await askStanding(session, pair.epoch));
      return passOver([live], () => 'nothing', ` after the decision for the versions of ${pair[request.keeps].fqdn}`);
    }
    // What changed in a database since its last export is to be across as well.
    if (request.kind === 'pass' || request.kind === 'drain') await exportAll(true);
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
  if (whyStopped(host.root) === undefined) await passAll();
  let compared = performance.now();
  let folders = compared;
  let asked = compared;
  const today = (): string => dayOf(host.system.clock(), agent.profile.fullPass);
  let day = today();
  while (!agent.over()) {
    const stopped = whyStopped(host.root);
    if (stopped !== undefined) agent.tell({ state: stopped });
    const waiting = stopped === undefined && [...agent.sets.values()].some(isNew);
    const next = Math.min(
      asked + timing.heartbeat,
      // While it is stopped neither of them is looked at.
      ...(stopped === undefined ? [folders + timing.folders, compared + timing.compare] : []),
      ...nextExports(agent, exported),
    );
    if (!waiting && !lost) await bell.wait(Math.max(1, next - performance.now()));
    if (agent.over()) return;
    const now = performance.now();
    const isHeartbeat = lost || now - asked >= timing.heartbeat;
    if (isHeartbeat) {
      asked = now;
      const theirs = await askStanding(session, pair.epoch);
      if (theirs.epoch > pair.epoch) return;
      undecided = theirs.undecided;
      takeEdits(agent, await session.call('agentEdits', { epoch: pair.epoch }));
    }
    await exportAll();
    await answerAll(agent, answer);
    if (whyStopped(host.root) !== undefined) continue;
    if (now - folders >= timing.folders) {
      folders = now;
      for (const live of agent.sets.values()) touchFolders(live);
    }
    if (today() !== day) {
      day = today();
      await passAll();
    }
    const whole = now - compared >= timing.compare;
    if (whole) compared = now;
    if ([...agent.sets.values()].some(isNew)) await sleep(timing.coalesce);
    for (const live of agent.sets.values()) {
      const before = results.get(live.set.name);
      const again = isUnfinished(before);
      // What no call takes may have been put right; that alone makes no look at everything of each change.
      const anew = isHeartbeat && (again || (before?.leftOut.length ?? 0) > 0);
      if (whole || anew || isNew(live)) await send(live, whole || anew || again);
    }
  }
}

/** A set that can't be read is told when it is looked at. */
export function touchFolders(live: LiveSet): void {
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

/** The day to which a time belongs where days begin at `start` (HH:MM), by the server's own clock. */
function dayOf(clock: number, start: string): string {
  const now = new Date(clock);
  const [hours = 0, minutes = 0] = start.split(':').map(Number);
  const isBefore = now.getHours() * 60 + now.getMinutes() < hours * 60 + minutes;
  return new Date(now.getFullYear(), now.getMonth(), now.getDate() - (isBefore ? 1 : 0)).toDateString();
}

const editsSchema = v.record(v.string(), v.array(v.tuple([v.string(), v.nullable(v.string())])));

/** What was edited on the other server is sent again: there it is kept, here it is the truth. */
function takeEdits(agent: Agent, told: unknown): void {
  for (const [set, edits] of Object.entries(answered(editsSchema, told))) {
    const live = agent.sets.get(set);
    if (!live) continue;
    const carried = carriedOf(live.tree, edits);
    for (const [path, sign] of carried) nameOf(live.tree, path).there = sign ?? undefined;
    live.touch(carried.map(([path]) => path));
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
      if (!(error instanceof CmsadmError) || ending.includes(error.code)) ended = { error };
    }
  if (ended) throw ended.error;
}
