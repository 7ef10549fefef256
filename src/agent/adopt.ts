import { unfinished } from '../change/journal.ts';
import { lockOwner } from '../change/lock.ts';
import { CmsadmError } from '../errors.ts';
import { writeState } from '../host/root.ts';
import type { Session } from '../host/session.ts';
import type { Host } from '../host/system.ts';
import { type Pair, paths, printPair, raiseEpoch, readPair } from '../pair/state.ts';
import type { Profile } from '../profile/schema.ts';
import { scan } from './data-set.ts';
import { type DataSet, shownPath } from './entry.ts';
import { differences, listPeer, raiseOnce } from './push.ts';
import type { Standing } from './standing.ts';

/**
 * Takes over the pair of a newer epoch that the other server made while this one was away: what differs is told in an
 * alarm first, then the pair is saved; nothing is pushed.
 * @returns the alarm's text; undefined while a change on either server is not settled, then ask again
 * @throws CmsadmError pair-foreign, session-lost
 */
export async function adopt(
  host: Host,
  profile: Profile,
  session: Session,
  own: Pair,
  theirs: Standing,
): Promise<string | undefined> {
  const pair = theirs.pair;
  if (!pair || !theirs.settled || changing(host)) return undefined;
  const addresses = (one: Pair): string => [one.primary.address, one.secondary.address].sort().join(' ');
  if (addresses(pair) !== addresses(own))
    throw new CmsadmError('pair-foreign', 'The other server belongs to a pair of other addresses.', {
      details: [`here: ${addresses(own)}`, `there: ${addresses(pair)}`],
      remedy: 'Compare cmsadm config_HA show on both servers; disable HA on the one that is wrong.',
    });
  const reports: string[] = [];
  for (const set of profile.dataSets) reports.push(await compare(host, session, set));
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

async function compare(host: Host, session: Session, set: DataSet): Promise<string> {
  try {
    const there = await listPeer(session, set);
    const { clear, put, remove } = differences(await scan(host, set), there);
    const different = put.filter((entry) => there.has(entry.path)).map((entry) => entry.path);
    const groups = [
      told(
        'only here',
        put.filter((entry) => !there.has(entry.path)).map((entry) => entry.path),
      ),
      told('different', different),
      told('only there', [...clear.filter((path) => !different.includes(path)), ...remove].sort()),
    ].filter((group) => group !== '');
    return `Data set ${set.name}: ${groups.length === 0 ? 'no difference' : groups.join('; ')}.`;
  } catch (error) {
    if (!(error instanceof CmsadmError) || error.code === 'session-lost') throw error;
    return `Data set ${set.name} could not be compared: ${error.message}`;
  }
}

const MOST = 50;

const told = (label: string, names: readonly string[]): string => {
  if (names.length === 0) return '';
  const more = names.length > MOST ? ` and ${names.length - MOST} more` : '';
  return `${label}: ${names.slice(0, MOST).map(shownPath).join(', ')}${more}`;
};
