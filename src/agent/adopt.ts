import { unfinished } from '../change/journal.ts';
import { lockOwner } from '../change/lock.ts';
import { CmsadmError } from '../errors.ts';
import { writeState } from '../host/root.ts';
import type { Session } from '../host/session.ts';
import type { Host } from '../host/system.ts';
import { type Pair, paths, printPair, raiseEpoch, readPair } from '../pair/state.ts';
import type { Agent } from './agent.ts';
import type { LiveSet } from './live-set.ts';
import { difference } from './pass.ts';
import type { Standing } from './standing.ts';
import { raiseOnce } from './teller.ts';

/**
 * Takes over the pair of a newer epoch that the other server made while this one was away: what differs is told in an
 * alarm first, then the pair is saved; nothing is pushed.
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
  for (const live of agent.sets.values()) reports.push(await compare(session, own.epoch, live));
  const what =
    pair.primary.address === own.primary.address
      ? 'changed the pair while this server was away'
      : 'took over the administration while this server was away';
  const who = pair.primary.address === own.primary.address ? pair.secondary.fqdn : pair.primary.fqdn;
  const text = `${who} ${what} (epoch ${pair.epoch}, here it was ${own.epoch}). ${reports.join(' ')}`;
  // Comparing takes its time; an operator may have begun a change of his own.
  if (changing(host) || readPair(host.root)?.epoch !== own.epoch) return undefined;
  raiseOnce(host, text);
  raiseEpoch(host.root, pair.epoch);
  writeState(host.root, paths.pair, printPair(pair));
  return text;
}

const changing = (host: Host): boolean => lockOwner(host) !== undefined || unfinished(host.root).length > 0;

async function compare(session: Session, epoch: number, live: LiveSet): Promise<string> {
  const { name } = live.set;
  try {
    const line = { session, epoch, next: () => 0, acknowledged: () => {} };
    const { onlyHere, different, onlyThere } = await difference(line, live);
    const groups = [told('only here', onlyHere), told('different', different), told('only there', onlyThere)].filter(
      (group) => group !== '',
    );
    return `Data set ${name}: ${groups.length === 0 ? 'no difference' : groups.join('; ')}.`;
  } catch (error) {
    if (!(error instanceof CmsadmError) || error.code === 'session-lost') throw error;
    return `Data set ${name} could not be compared: ${error.message}`;
  }
}

const MOST = 50;

const told = (label: string, names: readonly string[]): string => {
  if (names.length === 0) return '';
  const more = names.length > MOST ? ` and ${names.length - MOST} more` : '';
  return `${label}: ${names.slice(0, MOST).join(', ')}${more}`;
};
