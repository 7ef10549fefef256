import { CmsadmError } from '../errors.ts';
import type { Session } from '../host/session.ts';
import { type Link, type Pair, paths } from '../pair/state.ts';
import type { PassReport } from '../pair/sync-reports.ts';
import { someOf } from '../printable.ts';
import type { Agent } from './agent.ts';
import { makeBulk } from './bulk.ts';
import { shownPath } from './entry.ts';
import { exportSet } from './export.ts';
import type { LetGo } from './guard.ts';
import { type Line, makeLine, progressing } from './line.ts';
import type { LiveSet } from './live-set.ts';
import { fullPass, lookOnly, reportOf, type SetResult, sendChanges, troubleOf, waitingOf } from './pass.ts';
import { logPass } from './pass-log.ts';
import { readPause, refuseStopped, whyStopped } from './paused.ts';
import { renderAndApply } from './render.ts';
import type { Standing } from './standing.ts';
import { raiseOnce } from './standing-alarms.ts';
import { undecidedError } from './undecided.ts';

/**
 * The power took an edit here that was across already, or this server was set back: the other server's versions of that
 * were as good, and are replaced now.
 */
function tellUnheardOf({ host }: Agent, { set, tree }: LiveSet, peer: string): void {
  const { unheardOf } = tree;
  if (unheardOf.length === 0) return;
  raiseOnce(
    host,
    `When this server came back, ${peer} had versions of the data set ${set.name} of which nothing is known here (lost with the power, or this server was set back): ${someOf(unheardOf.map(shownPath), SHOWN)}. Those of this server replaced them; they are kept on ${peer}, below ${paths.kept}/${set.name}.`,
  );
  tree.unheardOf = [];
}

const SHOWN = 20;

/** What is sent over one session, and how each data set stands by it. */
export type Sender = ReturnType<typeof makeSender>;

/** What is held or failed is looked at as a whole: the events of what it left out are gone. */
export const isUnfinished = (result: SetResult | undefined): boolean =>
  result !== undefined && (result.held !== undefined || result.failure !== undefined || result.problems.length > 0);

/**
 * What is done with the data sets over one session: sets are sent one after the other, and of each the last result is kept
 * and told.
 */
export function makeSender(agent: Agent, session: Session, link: Link, pair: Pair) {
  const { host, timing } = agent;
  const own: Line = { ...makeLine(agent, session, pair.epoch), meanwhile: () => sendMeanwhile() };
  const line = host.system.real ? { ...own, bulk: progressing(agent, makeBulk(host, link, own)) } : own;
  for (const live of agent.sets.values()) {
    live.setLazy(true);
    // What it had under another role, or another session, says nothing.
    live.tree.compared = false;
  }
  const results = new Map<string, SetResult>();
  /** What is in the way of any data set. */
  const troubles = (): string[] => [...results].map(([set, one]) => troubleOf(set, one)).filter((text) => text !== '');
  /** Why the last export of a data set failed: it is not in step, whatever of it is across. */
  const unexported = new Map<string, CmsadmError>();
  /** What failed stays dirty: it is tried again with each sign of life, not all the time. */
  const failed = new Set<string>();
  const isNew = (live: LiveSet): boolean => live.isDirty() && !failed.has(live.set.name);
  const remember = (live: LiveSet, sent: SetResult): SetResult => {
    const { name } = live.set;
    if (sent.failure) failed.add(name);
    else failed.delete(name);
    const own = unexported.get(name) ?? agent.unapplied.get(name) ?? agent.unrendered.get(name);
    const result = { ...sent, failure: sent.failure ?? own };
    results.set(name, result);
    const trouble = troubleOf(name, result);
    if (trouble === '') agent.allAcross(name);
    if (!sent.failure && sent.held === undefined) tellUnheardOf(agent, live, link.peer.fqdn);
    const undecidedWhy = result.failure?.code === 'set-undecided' ? result.failure.message : undefined;
    const state = undecidedWhy
      ? 'undecided'
      : result.held === undefined && result.failure?.code !== 'folder-other'
        ? 'stopped'
        : 'held';
    const why = undecidedWhy ?? result.held ?? trouble;
    agent.tellSet(name, trouble === '' ? undefined : { state, why }, waitingOf(live, result));
    const told = troubles();
    if (told.length > 0) agent.tell({ state: told.join('; ') });
    // Of the others nobody knows yet.
    else if (results.size === agent.sets.size) agent.tell({ state: 'in step' });
    return result;
  };
  /** Data sets of which the other server takes nothing before a person has decided. */
  let undecided: Standing['undecided'] = {};
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
  /** When a data set was sent last as a whole beside a long transfer (performance.now). */
  const wholeAt = new Map<string, number>();
  /** What is to be looked at as a whole would hold up a long transfer with each change. */
  const isNext = (live: LiveSet): boolean => {
    const { name } = live.set;
    if (!isUnfinished(results.get(name))) return isNew(live);
    const now = performance.now();
    const isDue = now - (wholeAt.get(name) ?? now) >= timing.folders;
    if (isDue || !wholeAt.has(name)) wholeAt.set(name, now);
    return isDue;
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
      // What was never compared has its turn.
      if (!busy && live.tree.compared && isNext(live)) await send(live, isUnfinished(results.get(name)));
    }
  };
  /** It may have been paused while another set was passed over or sent. @throws CmsadmError sync-paused */
  const refusePaused = (): void => {
    if (readPause(host.root)) refuseStopped(host.root);
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
      for (const live of lives) {
        refusePaused();
        reports.push(await passOne(live, letGo(live.set.name)));
      }
    } catch (error) {
      if (error instanceof CmsadmError) logPass(agent, reports, why, error);
      throw error;
    } finally {
      agent.tell({ passPercent: null });
    }
    logPass(agent, reports, why);
    agent.tell({ lastPass: new Date(host.system.clock()).toISOString() });
    return reports;
  };
  const passAll = (released?: string): Promise<PassReport[]> =>
    passOver(agent.sets.values(), (set) => (set === released ? 'all' : 'nothing'), '');
  /** One that nobody waits for: a pause ends it, and its end begins another one. */
  const passUnlessPaused = async (): Promise<void> => {
    try {
      await passAll();
    } catch (error) {
      if (!(error instanceof CmsadmError) || error.code !== 'sync-paused') throw error;
    }
  };
  /**
   * Sends whatever differs, then what changed in one set while another was sent or applied.
   * @throws CmsadmError sync-paused
   */
  const drain = async (): Promise<void> => {
    for (const live of agent.sets.values()) {
      refusePaused();
      await send(live, true);
    }
    for (const live of agent.sets.values()) {
      refusePaused();
      if (isNew(live)) await send(live, isUnfinished(results.get(live.set.name)));
    }
  };
  return {
    agent,
    session,
    pair,
    line,
    isNew,
    resultOf: (set: string): SetResult | undefined => results.get(set),
    troubles,
    waits,
    /** True for a data set of which nothing is sent before a person says so. */
    waitsForPerson: (set: string): boolean => undecided[set] !== undefined || results.get(set)?.held !== undefined,
    /** Of which data sets the other server takes nothing before a decision. */
    hearUndecided: (told: Standing['undecided']): void => {
      undecided = told;
    },
    /** When each data set was exported last (performance.now). */
    exported: exported as ReadonlyMap<string, number>,
    exportAll,
    send,
    passOver,
    passAll,
    passUnlessPaused,
    drain,
  };
}
