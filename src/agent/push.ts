import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import type { Session } from '../host/session.ts';
import type { Host } from '../host/system.ts';
import { raiseAlarm, readAlarms } from '../pair/alarms.ts';
import { readPair } from '../pair/state.ts';
import type { Profile } from '../profile/schema.ts';
import { baseOf, type Digests, isSystemError, orGone, placeIn, READ_ONLY, scan, unreadable } from './data-set.ts';
import { type DataSet, type Entry, entrySchema, type FileEntry, sameEntry, shownPath } from './entry.ts';
import { PART } from './receive.ts';

/** What a pass did with one data set. */
export type SetResult = {
  readonly name: string;
  readonly sent: number;
  readonly removed: number;
  readonly bytes: number;
  /** Empty here and not on the other server: nothing was removed, an alarm stands. */
  readonly held: boolean;
  /** Single names that the other server did not take, and why. */
  readonly problems: readonly string[];
  /** Why the whole set could not be compared or sent. */
  readonly failure: CmsadmError | undefined;
};
export type PassResult = { readonly sets: readonly SetResult[] };

/** What a server needs to push, kept as long as its session. */
export type Push = {
  readonly host: Host;
  readonly profile: Profile;
  readonly session: Session;
  readonly epoch: number;
  /** What the other server is known to have, by data set; a set that is missing here is listed first. */
  readonly known: Map<string, Map<string, Entry>>;
  readonly digests: Map<string, Digests>;
};

export const makePush = (host: Host, profile: Profile, session: Session, epoch: number): Push => ({
  host,
  profile,
  session,
  epoch,
  known: new Map(),
  digests: new Map(),
});

/** The errors that end every further attempt of a session. */
const ending = ['session-lost', 'epoch-older', 'not-secondary', 'not-paired', 'verb-unknown'];
/** The errors of one name; the rest of its set goes on. */
const single = ['path-refused', 'account-unknown'];

/**
 * Compares every data set with the other server's and sends what differs, as the primary of the saved pair.
 * @throws CmsadmError not-paired, epoch-older, not-secondary, session-lost; after all sets were tried, the first of
 *   data-set-missing, data-set-unreadable, sync-write-failed
 */
export async function fullPass(host: Host, profile: Profile, session: Session): Promise<PassResult> {
  const pair = readPair(host.root);
  if (!pair)
    throw new CmsadmError('not-paired', 'This server belongs to no pair.', {
      remedy: 'Set up the roles: cmsadm config_HA setup.',
    });
  await session.call('syncOpen', { epoch: pair.epoch });
  const result = await pushChanges(makePush(host, profile, session, pair.epoch));
  for (const { failure } of result.sets) if (failure) throw failure;
  return result;
}

/**
 * Scans data sets here and sends what the other server is not known to have.
 * @param names the data sets to look at; all of them if not given
 * @param found told how many names differ, before they are sent
 * @throws CmsadmError epoch-older, not-secondary, not-paired, session-lost
 */
export async function pushChanges(
  push: Push,
  names?: ReadonlySet<string>,
  found: (names: number) => void = () => {},
): Promise<PassResult> {
  const sets: SetResult[] = [];
  for (const set of push.profile.dataSets) {
    if (names && !names.has(set.name)) continue;
    sets.push(await pushSet(push, set, found));
  }
  return { sets };
}

async function pushSet(push: Push, set: DataSet, found: (names: number) => void): Promise<SetResult> {
  const count = { name: set.name, sent: 0, removed: 0, bytes: 0, held: false, problems: [] as string[] };
  try {
    const here = await scan(push.host, set, digestsOf(push, set));
    const there = push.known.get(set.name) ?? (await listPeer(push.session, set));
    push.known.set(set.name, there);
    if (here.length === 0 && there.size > 0) {
      alarmHeld(push.host, set, there.size);
      return { ...count, held: true, failure: undefined };
    }
    const work = differences(here, there);
    const total = work.clear.length + work.put.length + work.remove.length;
    if (total > 0) found(total);
    for (const path of work.clear) await removeOne(push, set, path, there, count);
    for (const entry of work.put) await putOne(push, set, entry, there, count);
    for (const path of work.remove) await removeOne(push, set, path, there, count);
    return { ...count, failure: undefined };
  } catch (error) {
    const failure = isSystemError(error) ? unreadable(set, error) : error;
    if (!(failure instanceof CmsadmError) || ending.includes(failure.code)) throw error;
    return { ...count, failure };
  }
}

function digestsOf(push: Push, set: DataSet): Digests {
  const digests: Digests = push.digests.get(set.name) ?? new Map();
  push.digests.set(set.name, digests);
  return digests;
}

/** The other server's entries of a data set, by path. */
export async function listPeer(session: Session, set: DataSet): Promise<Map<string, Entry>> {
  const listed = v.parse(v.array(entrySchema), await session.call('syncList', { set: set.name }));
  return new Map(listed.map((entry) => [entry.path, entry]));
}

type Work = { readonly clear: readonly string[]; readonly put: readonly Entry[]; readonly remove: readonly string[] };

/**
 * What makes the other server's set equal to this one. First what must go because a folder becomes something else or
 * the reverse, then what is put, folders first; the other removals last. Children go before their folders.
 */
export function differences(here: readonly Entry[], there: ReadonlyMap<string, Entry>): Work {
  const wanted = new Map(here.map((entry) => [entry.path, entry]));
  const clashes = (path: string): boolean => {
    const [ours, theirs] = [wanted.get(path)?.type, there.get(path)?.type];
    return ours !== undefined && theirs !== undefined && ours !== theirs && (ours === 'folder' || theirs === 'folder');
  };
  const below = (path: string): boolean => {
    for (let end = path.indexOf('/'); end !== -1; end = path.indexOf('/', end + 1))
      if (clashes(path.slice(0, end))) return true;
    return clashes(path);
  };
  const deepestFirst = [...there.keys()].sort().reverse();
  const clear = deepestFirst.filter(below);
  const cleared = new Set(clear);
  const put = here.filter((entry) => cleared.has(entry.path) || !sameEntry(entry, there.get(entry.path)));
  return {
    clear,
    put: [...put.filter((entry) => entry.type === 'folder'), ...put.filter((entry) => entry.type !== 'folder')],
    remove: deepestFirst.filter((path) => !wanted.has(path) && !cleared.has(path)),
  };
}

type Count = { sent: number; removed: number; bytes: number; readonly problems: string[] };

async function attempt(count: Count, path: string, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(error instanceof CmsadmError) || !single.includes(error.code)) throw error;
    count.problems.push(`${shownPath(path)}: ${error.message}`);
  }
}

const removeOne = (
  { session, epoch }: Push,
  set: DataSet,
  path: string,
  there: Map<string, Entry>,
  count: Count,
): Promise<void> =>
  attempt(count, path, async () => {
    // A folder that stays because of what the set does not carry is right as it is, too.
    if ((await session.call('syncRemove', { epoch, set: set.name, path })) === true) count.removed += 1;
    there.delete(path);
  });

const putOne = (push: Push, set: DataSet, entry: Entry, there: Map<string, Entry>, count: Count): Promise<void> =>
  attempt(count, entry.path, async () => {
    const put = (sent: Entry, offset: number, data: string, last: boolean): Promise<unknown> =>
      push.session.call('syncPut', { epoch: push.epoch, set: set.name, entry: sent, offset, data, last });
    if (entry.type === 'file') {
      const sent = await sendFile(push.host, set, entry, put);
      if (!sent) return; // gone since the scan; the next one tells
      there.set(entry.path, sent);
      count.bytes += sent.size;
    } else {
      await put(entry, 0, '', true);
      there.set(entry.path, entry);
    }
    count.sent += 1;
  });

/**
 * Sends a file as it is while it is read, up to the size it has at the start: one that is being written meanwhile goes
 * across as far as it was seen, and again after the next scan.
 * @returns what was sent; undefined if the file is gone
 */
async function sendFile(
  host: Host,
  set: DataSet,
  entry: FileEntry,
  put: (sent: FileEntry, offset: number, data: string, last: boolean) => Promise<unknown>,
): Promise<FileEntry | undefined> {
  const base = baseOf(host, set);
  const file = orGone(() => fs.openSync(placeIn(base, entry.path), READ_ONLY));
  if (file === undefined) return undefined;
  try {
    if (!fs.fstatSync(file).isFile()) return undefined;
    const hash = createHash('sha256');
    const part = Buffer.alloc(Math.min(PART, entry.size));
    for (let offset = 0; ; ) {
      const length = fs.readSync(file, part, 0, Math.min(part.length, entry.size - offset), offset);
      const data = part.subarray(0, length);
      hash.update(data);
      const size = offset + length;
      const last = length === 0 || size === entry.size;
      const sent = last ? { ...entry, size, sha256: hash.copy().digest('hex') } : entry;
      await put(sent, offset, data.toString('base64'), last);
      if (last) return sent;
      offset = size;
    }
  } finally {
    fs.closeSync(file);
  }
}

function alarmHeld(host: Host, set: DataSet, theirs: number): void {
  raiseOnce(
    host,
    `The data set ${set.name} (${set.path}) is empty here and holds ${theirs} names on the other server. Nothing was removed there. Is a disk not mounted?`,
  );
}

/** Raises an alarm unless the same text stands already. */
export function raiseOnce(host: Host, text: string): void {
  if (readAlarms(host.root).some((alarm) => alarm.text === text)) return;
  raiseAlarm(host.root, text, host.system.clock());
}
