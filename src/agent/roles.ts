import { setTimeout as sleep } from 'node:timers/promises';
import { CmsadmError } from '../errors.ts';
import type { Link, Pair } from '../pair/state.ts';
import { adopt } from './adopt.ts';
import type { Agent } from './agent.ts';
import { shownPath } from './entry.ts';
import { follow, touchFolders } from './follow.ts';
import { folderOfSet } from './guard.ts';
import { readPause, resume } from './paused.ts';
import { renderAndApply } from './render.ts';
import { askStanding, type Standing } from './standing.ts';
import { raiseOnce, settleBut } from './standing-alarms.ts';
import { isBulkOpen } from './take.ts';
import { allUndecided, clearUndecided, readUndecided, undecidedError } from './undecided.ts';

/** With the authority: takes over a newer epoch if there is one, else sends until the turn is over. */
export async function bePrimary(agent: Agent, link: Link, pair: Pair): Promise<void> {
  settleBut(agent.host, [nobody], undefined);
  // While the login takes its time.
  for (const live of agent.sets.values()) {
    live.setLazy(true);
    live.lookEarly();
  }
  // Before the other server is asked, which may be gone: what it sent counts as brought over, and the role here is new.
  for (const live of agent.sets.values()) {
    await renderAndApply(agent, live);
    if (agent.over()) return;
  }
  const session = await agent.login(link);
  try {
    for (;;) {
      const theirs = await askStanding(session, pair.epoch);
      if (theirs.epoch > pair.epoch) {
        const text = await adopt(agent, session, pair, theirs);
        if (text === undefined) throw waits(link);
        return agent.log(text);
      }
      forgetUndecided(agent);
      await session.call('agentOpen', { epoch: pair.epoch });
      await follow(agent, session, link, pair);
      if (agent.over()) return;
    }
  } finally {
    session.close();
  }
}

/** With the authority nothing is sent here: if the other server has changes of its own, it marks them when it comes back. */
function forgetUndecided({ host, log }: Agent): void {
  for (const set of Object.keys(allUndecided(host.root))) {
    clearUndecided(host.root, set);
    log(`${set}: this server administers now; its versions stay`);
  }
}

const waits = (link: Link): CmsadmError =>
  new CmsadmError('newer-epoch', `${link.peer.fqdn} has a newer epoch; waiting until a change is settled`);

/** Without it: takes what the other server sends (receive.ts), notices edits, and looks whether the primary is there. */
export async function beSecondary(agent: Agent, link: Link, pair: Pair): Promise<void> {
  for (const live of agent.sets.values()) live.setLazy(false);
  endPause(agent);
  let asked = Number.NEGATIVE_INFINITY;
  let folders = performance.now();
  while (!agent.over()) {
    tellUndecided(agent, pair);
    if (performance.now() - folders >= agent.timing.compare) {
      folders = performance.now();
      // What no event told of.
      if (!isBulkOpen(agent))
        for (const live of agent.sets.values()) if (folderOfSet(live.tree) === 'as before') touchFolders(live);
    }
    await noticeEdits(agent);
    if (performance.now() - asked >= agent.timing.reachable) {
      asked = performance.now();
      agent.tell({ state: isHeard(agent, pair) ? isThere : await reachable(agent, link, pair) });
    }
    if (agent.over()) return;
    const next = Math.min(asked + agent.timing.reachable, folders + agent.timing.compare);
    const rung = await agent.bell.wait(Math.max(1, next - performance.now()));
    if (rung) await sleep(agent.timing.edits);
  }
}

/** Nobody could end it here, and it would stop this server when it administers the next time. */
function endPause({ host, log }: Agent): void {
  const paused = readPause(host.root);
  if (!paused) return;
  resume(host);
  log(`the pause by ${paused.by} since ${paused.since} is over: this server does not administer any more`);
}

function tellUndecided(agent: Agent, pair: Pair): void {
  for (const name of agent.sets.keys()) {
    const mark = readUndecided(agent.host.root, name);
    const why = mark && undecidedError(pair, name, mark).message;
    agent.tellSet(name, why === undefined ? undefined : { state: 'undecided', why }, 0);
  }
}

const isThere = 'the primary is reachable';

/** True while the primary's own session tells that it is there: a login would tell no more, and costs both servers. */
const isHeard = ({ heard, timing }: Agent, { epoch }: Pair): boolean =>
  heard.epoch === epoch && performance.now() - heard.at < 2 * timing.heartbeat;

async function reachable(agent: Agent, link: Link, pair: Pair): Promise<string> {
  try {
    const session = await agent.login(link);
    try {
      const theirs = await askStanding(session, pair.epoch);
      const missing = primaryMissing(theirs, link, pair);
      settleBut(agent.host, [nobody], missing);
      if (missing !== undefined) {
        raiseOnce(agent.host, missing);
        return missing;
      }
      if (theirs.epoch === pair.epoch) return isThere;
      return `the primary is reachable, but at epoch ${theirs.epoch}`;
    } finally {
      session.close();
    }
  } catch (error) {
    if (!(error instanceof CmsadmError)) throw error;
    return `the primary is not reachable: ${error.message}`;
  }
}

const nobody = 'Nobody administers this pair:';

/** One of them was set back to a time before a reversal: both are the secondary. */
function primaryMissing({ pair: theirs, settled, epoch }: Standing, { peer }: Link, own: Pair): string | undefined {
  if (!theirs || !settled || theirs.primary.address === peer.address) return undefined;
  const epochs = `epoch ${own.epoch} here, ${epoch} on ${peer.fqdn}`;
  return `${nobody} both servers are the secondary (${epochs}), and nothing is sent. On the server with the newer data: cmsadm config_HA activate.`;
}

/** Looks at what events told of: what this agent did not write itself, somebody edited here. */
async function noticeEdits(agent: Agent): Promise<void> {
  // What rsync brings is taken at its end.
  if (isBulkOpen(agent)) return;
  for (const live of agent.sets.values()) {
    // Files below a mount are nobody's edits.
    if (!live.isDirty() || folderOfSet(live.tree) !== 'as before') continue;
    const { agreed, names, carried } = live.tree;
    const wasKnown = live.isKnown();
    const looked = await live.look();
    // The first look at everything, or nothing ever received: the next full pass tells what differs.
    if ((!looked && !wasKnown) || agreed.isNew()) continue;
    const isEdited = (path: string): boolean => !agreed.isKnown(path, names.get(path)?.here);
    // Too many events to know of which names: then of all, and of those that are gone.
    const edited = looked
      ? [...looked].filter(isEdited)
      : [
          ...[...names.keys()].filter(isEdited),
          ...[...agreed.paths()].filter((path) => !names.get(path) && carried(path)),
        ];
    if (edited.length === 0) continue;
    const { name } = live.set;
    // Nobody replaces them before a person has decided.
    if (readUndecided(agent.host.root, name)) continue;
    agent.edits.set(name, new Set([...(agent.edits.get(name) ?? []), ...edited]));
    for (const path of edited.slice(0, 20)) agent.log(`${name}: ${shownPath(path)} was edited on this server`);
    raiseOnce(
      agent.host,
      `Files of the data set ${name} were edited on this server, which is the secondary: the primary's versions replace them. Theirs are kept: cmsadm sync conflicts`,
    );
  }
}
