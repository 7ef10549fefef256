import { unfinished } from '../change/journal.ts';
import { lockOwner } from '../change/lock.ts';
import { CmsadmError } from '../errors.ts';
import type { Session } from '../host/session.ts';
import type { Host } from '../host/system.ts';
import { writeState } from '../host/writing.ts';
import { type Pair, paths, printPair, raiseEpoch, readPair } from '../pair/state.ts';
import { someOf } from '../printable.ts';
import type { Agent } from './agent.ts';
import { exportSet } from './export.ts';
import { folderOfSet } from './guard.ts';
import type { LiveSet } from './live-set.ts';
import { difference } from './pass.ts';
import { pause } from './paused.ts';
import { hasAuthority, type Standing } from './standing.ts';
import { raiseOnce } from './standing-alarms.ts';
import { markUndecided } from './undecided.ts';

/**
 * Takes over the pair of a newer epoch that the other server made while this one was away: what differs is told in an
 * alarm first, then the pair is saved; nothing is pushed. A data set of which this server has versions of its own waits
 * for a person's decision; a server that still is the primary was set back, and is paused where it would send older versions.
 * @returns the alarm's text; undefined while a change on either server is not settled, then ask again
 * @throws CmsadmError pair-foreign, session-lost
 */
export async function adopt(agent: Agent, session: Session, own: Pair, theirs: Standing): Promise<string | undefined> {
  const { host } = agent;
  const pair = theirs.pair;
  if (!pair || !theirs.settled || changing(host)) return undefined;
  const addresses = (one: Pair): string => [one.primary.address, one.secondary.address].sort().join(' ');
  if (addresses(pair) !== addresses(own))
    throw new CmsadmError('pair-foreign', 'The other server belongs to a pair of other addresses.', {
      details: [`here: ${addresses(own)}`, `there: ${addresses(pair)}`],
      remedy: 'Compare cmsadm config_HA show on both servers; disable HA on the one that is wrong.',
    });
  const reports: string[] = [];
  const marks = new Map<string, number | null>();
  let isSetBack = false;
  for (const live of agent.sets.values()) {
    const { report, changes } = await compare(agent, session, own.epoch, live);
    reports.push(report);
    isSetBack ||= changes === null || neverHad(live);
    if (changes !== 0) marks.set(live.set.name, changes);
  }
  const what =
    pair.primary.address === own.primary.address
      ? 'changed the pair while this server was away'
      : 'took over the administration while this server was away';
  const who = pair.primary.address === own.primary.address ? pair.secondary.fqdn : pair.primary.fqdn;
  const text = `${who} ${what} (epoch ${pair.epoch}, here it was ${own.epoch}). ${reports.join(' ')}`;
  // Comparing takes its time; an operator may have begun a change of his own.
  if (changing(host) || readPair(host.root)?.epoch !== own.epoch) return undefined;
  raiseOnce(host, text);
  // Before the pair: as its secondary this server takes what it is sent.
  const at = new Date(host.system.clock()).toISOString();
  if (!hasAuthority(host, pair))
    for (const [set, changes] of marks) markUndecided(host.root, set, { own: changes, epoch: own.epoch, at });
  // It was set back: what it holds now would replace what it held later.
  else if (isSetBack) pause(host, 'cmsadm (this server was set back: see its alarm)');
  raiseEpoch(host.root, pair.epoch);
  writeState(host.root, paths.pair, printPair(pair));
  return text;
}

const changing = (host: Host): boolean => lockOwner(host) !== undefined || unfinished(host.root).length > 0;

/** What differs in words, and how many changes of this server's own the other one never had; null: unknown. */
type Compared = { readonly report: string; readonly changes: number | null };

async function compare(agent: Agent, session: Session, epoch: number, live: LiveSet): Promise<Compared> {
  const { name } = live.set;
  // What was not read yet is read: only then it can be told from what was agreed on.
  live.setLazy(false);
  try {
    requireFolder(live);
    // What changed in its database since the last export is a change of its own as well.
    await exportSet(agent, live.set, undefined);
    const line = { session, epoch, next: () => 0, acknowledged: () => {}, brought: () => {}, over: () => {} };
    const { onlyHere, different, onlyThere } = await difference(line, live);
    const groups = [told('only here', onlyHere), told('different', different), told('only there', onlyThere)].filter(
      (group) => group !== '',
    );
    const report = `Data set ${name}: ${groups.length === 0 ? 'no difference' : groups.join('; ')}.`;
    return { report, changes: ownChanges(live) };
  } catch (error) {
    if (!(error instanceof CmsadmError) || error.code === 'session-lost') throw error;
    const report = `Data set ${name} could not be compared: ${error.message}`;
    // What the other server does not have, it never sends.
    return { report, changes: error.code === 'data-set-unknown' ? 0 : null };
  }
}

/** Names below a mount are not this server's version of a data set. @throws CmsadmError folder-other */
function requireFolder({ set, tree }: LiveSet): void {
  const folder = folderOfSet(tree);
  if (folder === 'as before') return;
  const what = folder === 'missing' ? 'is missing' : 'is another folder than before';
  throw new CmsadmError('folder-other', `${set.path} ${what}: is a disk not mounted?`, { file: set.path });
}

/** Names whose version here the other server never had, and has not by chance. */
const ownChanges = ({ tree }: LiveSet): number =>
  [...tree.names].filter(([path, { here, there }]) => here !== there && !tree.agreed.isKnown(path, here)).length;

/** True where the other server has versions that this one, which is older, never had, or has no longer. */
const neverHad = ({ tree }: LiveSet): boolean =>
  [...tree.names].some(
    ([path, { here, there }]) => there !== undefined && here !== there && !tree.agreed.isKnown(path, there),
  );

const MOST = 50;

const told = (label: string, names: readonly string[]): string =>
  names.length === 0 ? '' : `${label}: ${someOf(names, MOST)}`;
