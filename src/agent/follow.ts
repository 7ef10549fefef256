import { setTimeout as sleep } from 'node:timers/promises';
import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import type { Session } from '../host/session.ts';
import type { Link, Pair } from '../pair/state.ts';
import type { Agent } from './agent.ts';
import { answered, carriedOf } from './answers.ts';
import { isSystemError } from './data-set.ts';
import { SOME_FOLDER } from './entry.ts';
import type { LiveSet } from './live-set.ts';
import { folderOf } from './names.ts';
import { whyStopped } from './paused.ts';
import { answerAll } from './requests.ts';
import { isUnfinished, makeSender, type Sender } from './sender.ts';
import { askStanding } from './standing.ts';
import { nameOf } from './tree.ts';

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
  const sender = makeSender(agent, session, link, pair);
  sender.hearUndecided((await askStanding(session, pair.epoch)).undecided);
  await sender.exportAll();
  if (whyStopped(host.root) === undefined) await sender.passUnlessPaused();
  let compared = performance.now();
  let folders = compared;
  let asked = compared;
  const today = (): string => dayOf(host.system.clock(), agent.profile.fullPass);
  let day = today();
  let isStopped = false;
  while (!agent.over()) {
    const stopped = whyStopped(host.root);
    if (stopped !== undefined) agent.tell({ state: stopped });
    const waiting = stopped === undefined && [...agent.sets.values()].some(sender.isNew);
    const next = Math.min(
      asked + timing.heartbeat,
      // While it is stopped neither of them is looked at.
      ...(stopped === undefined ? [folders + timing.folders, compared + timing.compare] : []),
      ...nextExports(sender),
    );
    if (!waiting && !lost) await bell.wait(Math.max(1, next - performance.now()));
    if (agent.over()) return;
    const now = performance.now();
    const isHeartbeat = lost || now - asked >= timing.heartbeat;
    if (isHeartbeat) {
      asked = now;
      const theirs = await askStanding(session, pair.epoch);
      if (theirs.epoch > pair.epoch) return;
      sender.hearUndecided(theirs.undecided);
      takeEdits(agent, await session.call('agentEdits', { epoch: pair.epoch }));
    }
    await sender.exportAll();
    await answerAll(sender);
    if (whyStopped(host.root) !== undefined) {
      // Nothing is sent, so nobody counts what waits.
      if (isHeartbeat || !isStopped)
        for (const live of agent.sets.values()) agent.toSend(live.set.name, live.waiting(), false);
      isStopped = true;
      continue;
    }
    isStopped = false;
    if (now - folders >= timing.folders) {
      folders = now;
      for (const live of agent.sets.values()) touchFolders(live);
    }
    if (today() !== day) {
      day = today();
      await sender.passUnlessPaused();
    }
    const whole = now - compared >= timing.compare;
    if (whole) compared = now;
    if ([...agent.sets.values()].some(sender.isNew)) await sleep(timing.coalesce);
    for (const live of agent.sets.values()) {
      // It may have been paused while another one was sent.
      if (whyStopped(host.root) !== undefined) break;
      const before = sender.resultOf(live.set.name);
      const again = isUnfinished(before);
      // What no call takes may have been put right; that alone makes no look at everything of each change.
      const anew = isHeartbeat && (again || (before?.leftOut.length ?? 0) > 0);
      if (whole || anew || sender.isNew(live)) await sender.send(live, whole || anew || again);
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

const nextExports = ({ agent, exported: last }: Sender): number[] =>
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
    live.touch([
      ...carried.map(([path]) => path),
      ...carried.flatMap(([path, sign]) => foldersOnlyThere(live, path, sign)),
    ]);
  }
}

/** What is there has folders above it there: one whose removal found something of that server's own in it stayed. */
function foldersOnlyThere({ tree }: LiveSet, path: string, sign: string | null): string[] {
  const found: string[] = [];
  if (sign === null) return found;
  for (let folder = folderOf(path); folder !== ''; folder = folderOf(folder)) {
    const name = nameOf(tree, folder);
    if (name.here !== undefined || name.there !== undefined) break;
    name.there = SOME_FOLDER;
    found.push(folder);
  }
  return found;
}
