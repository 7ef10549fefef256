import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import type { PassReport, SetDifference } from '../pair/sync-reports.ts';
import { answered, carriedOf } from './answers.ts';
import { isSystemError, LONGEST, unreadable } from './data-set.ts';
import { isFolderSign, shownPath } from './entry.ts';
import {
  folderOfSet,
  forgetRemoved,
  isFirstOfBoot,
  type LetGo,
  noteSent,
  refusedOf,
  rememberFolder,
  rememberHeld,
  standingOfSet,
  whyHeld,
} from './guard.ts';
import type { Line, Sent } from './line.ts';
import type { LiveSet } from './live-set.ts';
import { sendWork } from './send.ts';
import { agreeHere, agreeIn, digestsOf, forgetIfGone, isProvisional, nameOf } from './tree.ts';
import { isApplied } from './unapplied.ts';
import { type Work, workOf } from './work.ts';

/** The errors that end every further attempt of a session. */
export const ending = [
  'session-lost',
  'epoch-older',
  'not-secondary',
  'not-paired',
  'verb-unknown',
  'verb-too-new',
  'session-replaced',
  'answer-refused',
];

const digestsSchema = v.record(v.string(), v.string());
const listSchema = v.array(v.tuple([v.string(), v.string()]));

/** What became of one data set. */
export type SetResult = Sent & {
  /** Why a guard holds it; undefined where none does. */
  readonly held: string | undefined;
  /** Why it could not be read, compared or sent. */
  readonly failure: CmsadmError | undefined;
  /** Single names that no call takes, and why: they are left out, whatever is tried. */
  readonly leftOut: readonly string[];
};
type Passed = Omit<SetResult, 'leftOut'>;

/** From so many names on it is worth asking whether they can be brought at once. */
const MANY = 200;

const nothing = (): Sent => ({ sent: 0, removed: 0, bytes: 0, problems: [] });

/** What was under way when something failed may be done on the other server or not; so may what a refusal names. */
async function caught(live: LiveSet, work: () => Promise<Passed>): Promise<SetResult> {
  try {
    const result = await work();
    if (result.problems.length > 0) live.tree.uncertain = true;
    return { ...result, leftOut: tooLongOf(live) };
  } catch (error) {
    live.tree.uncertain = true;
    const failure = isSystemError(error) ? unreadable(live.set, error) : error;
    if (!(failure instanceof CmsadmError) || ending.includes(failure.code)) throw error;
    return { ...nothing(), held: undefined, failure, leftOut: tooLongOf(live) };
  }
}

const tooLongOf = ({ tree }: LiveSet): string[] =>
  [...tree.tooLong].map(
    (path) => `${shownPath(path).slice(0, 100)}…: its path is longer than the system takes (${LONGEST} bytes)`,
  );

/**
 * Learns what the other server has, by digests of folders first, and what both have in common.
 * @throws CmsadmError session-lost, answer-refused, data-set-missing, data-set-unreadable and what the other server refuses with
 */
async function compare(
  line: Line,
  live: LiveSet,
  letGo: LetGo = 'nothing',
  step?: (seen: number) => void,
): Promise<void> {
  const { session, epoch } = line;
  const { tree } = live;
  const set = live.set.name;
  tree.uncertain = false;
  const [told] = await Promise.all([session.call('agentDigests', { epoch, set }), live.lookAll(step)]);
  const theirs = new Map(Object.entries(answered(digestsSchema, told)));
  const ours = digestsOf(tree);
  const differing = new Set(
    [...new Set([...theirs.keys(), ...ours.keys()])].filter((folder) => ours.get(folder) !== theirs.get(folder)),
  );
  const same: string[] = [];
  const unheardOf: string[] = [];
  for (const name of tree.names.values()) name.there = name.here;
  for (const path of [...differing].flatMap((folder) => tree.names.within(folder)))
    nameOf(tree, path).there = undefined;
  if (differing.size > 0) {
    const listed = answered(listSchema, await session.call('agentList', { epoch, set, folders: [...differing] }));
    for (const [path, sign] of carriedOf(tree, listed)) {
      const name = nameOf(tree, path);
      name.there = sign;
      // Both have it, and it was not read here yet.
      if (isProvisional(name.here)) await live.lookAt(path);
      if (name.here === sign) same.push(path);
      else if (!tree.agreed.isKnown(path, sign)) unheardOf.push(path);
    }
  }
  if (isFirstOfBoot(tree)) tree.unheardOf = unheardOf;
  // Names that are on neither side any more.
  for (const path of tree.names.keys()) forgetIfGone(tree, path);
  tree.compared = true;
  const folders = [...ours.keys()].filter((folder) => !differing.has(folder));
  await session.call('agentAgree', {
    epoch,
    set,
    folders,
    names: same,
    ...(letGo === 'all' ? { released: true } : {}),
  });
  agreeIn(tree, folders);
  for (const path of same) agreeHere(tree, path);
  tree.agreed.flush();
}

/**
 * Compares a data set with the other server's and sends what differs.
 * @param letGo what the guard is not to hold
 * @throws what ends the session
 */
export function fullPass(line: Line, live: LiveSet, letGo: LetGo, step?: (seen: number) => void): Promise<SetResult> {
  return caught(live, async () => {
    await compare(line, live, letGo, step);
    return sendUnlessHeld(line, live, undefined, letGo);
  });
}

/** Sends what events told of; after a failure all that differs. @throws what ends the session */
export function sendChanges(line: Line, live: LiveSet, whole: boolean): Promise<SetResult> {
  return caught(live, async () => {
    // What is on its way for long has no sign there yet.
    if (live.tree.uncertain && !line.busy?.has(live.set.name)) {
      await compare(line, live);
      return sendUnlessHeld(line, live, undefined, 'nothing');
    }
    if (whole) await live.lookAll();
    const looked = whole ? undefined : await live.look(line.busy?.get(live.set.name));
    return sendUnlessHeld(line, live, looked, 'nothing');
  });
}

/** Looks at what events told of and sends nothing, for the reason that is given. */
export const lookOnly = (live: LiveSet, failure: CmsadmError): Promise<SetResult> =>
  caught(live, async () => {
    await live.look();
    return { ...nothing(), held: undefined, failure };
  });

async function sendUnlessHeld(
  line: Line,
  live: LiveSet,
  looked: ReadonlySet<string> | undefined,
  letGo: LetGo,
): Promise<Passed> {
  const result = await sendIfAllowed(line, live, looked, letGo);
  // After a look at everything too: what came before may have failed to be applied.
  const isNew = result.sent + result.removed > 0 || !looked;
  if (isApplied(live.set) && isNew && result.held === undefined)
    await line.session.call('agentApply', { epoch: line.epoch, set: live.set.name });
  return result;
}

async function sendIfAllowed(
  line: Line,
  live: LiveSet,
  looked: ReadonlySet<string> | undefined,
  letGo: LetGo,
): Promise<Passed> {
  const work = workOf(live.tree, looked);
  const { names } = live.tree;
  const removes = work.remove.length + work.clear.length;
  // What is on its way for long, or was refused, makes up for nothing that goes now.
  const [busy, refused] = [line.busy?.get(live.set.name) ?? new Set<string>(), refusedOf(live.tree)];
  const absent = refused.size === 0 ? busy : new Set([...busy, ...refused]);
  const arrivals = work.put.filter((path) => names.get(path)?.there === undefined && !absent.has(path));
  const came = arrivals.length;
  // After events only what was looked at differs; all names are counted when everything was looked at.
  const vanished = [...work.remove, ...work.clear].filter((path) => names.get(path)?.here === undefined).length;
  const standing = () => standingOfSet(live.tree, looked && { vanished, came }, absent);
  const isHarmless = looked !== undefined && removes === 0 && folderOfSet(live.tree) === 'as before';
  const held = isHarmless ? undefined : whyHeld(live.set, standing(), letGo);
  if (!looked || held !== undefined) rememberHeld(live.tree, held);
  if (held !== undefined) return { ...nothing(), held, failure: undefined };
  // One at a time.
  const isBusy = (line.busy?.size ?? 0) > 0;
  const bulk = isBusy || work.put.length < MANY ? undefined : line.bulk;
  // What fills a server makes up for nothing but what goes with it.
  const fills = !looked || bulk !== undefined;
  if (letGo !== 'nothing') forgetRemoved(live.tree);
  else noteSent(live.tree, [...work.remove, ...work.clear], fills ? arrivals.slice(0, removes) : arrivals);
  if (fills) live.tree.arrived.clear();
  if (!looked || removes > 0) rememberFolder(live.tree);
  line.toSend?.(removes + work.put.length, live.set.name);
  if (!bulk) return { ...(await sendWork(line, live, work)), held: undefined, failure: undefined };
  // Folders first: whatever brings the files needs them.
  const isFolder = (path: string): boolean => isFolderSign(live.tree.names.get(path)?.here);
  const folders = { clear: work.clear, put: work.put.filter(isFolder), remove: [] };
  const carried = await bulk(live, work.put, () => sendWork(line, live, folders));
  // Of the same names.
  const { judged, unjudged } = restOf(live, looked, work);
  const rest = added(carried, await sendWork(line, live, judged));
  if (unjudged.length === 0) return { ...rest, held: undefined, failure: undefined };
  live.touch(unjudged);
  const later = await sendIfAllowed(line, live, await live.look(), 'nothing');
  return { ...later, ...added(rest, later) };
}

/** What still differs after a long transfer. Names that vanished meanwhile were not among the removals that the guard let pass. */
function restOf(
  { tree }: LiveSet,
  looked: ReadonlySet<string> | undefined,
  passed: Work,
): { readonly judged: Work; readonly unjudged: readonly string[] } {
  const { put, remove } = workOf(tree, looked);
  const mayGo = new Set(passed.remove);
  return {
    judged: { clear: [], put, remove: remove.filter((path) => mayGo.has(path)) },
    unjudged: remove.filter((path) => !mayGo.has(path)),
  };
}

const added = (one: Sent, other: Sent): Sent => ({
  sent: one.sent + other.sent,
  removed: one.removed + other.removed,
  bytes: one.bytes + other.bytes,
  problems: [...one.problems, ...other.problems],
});

export const reportOf = (set: string, result: SetResult, milliseconds: number): PassReport => {
  const why = troubleOf(set, result);
  const { sent, removed, bytes } = result;
  return { set, ok: why === '', why, sent, removed, bytes, milliseconds };
};

/** What is in the way of a data set, in one line; empty where nothing is. */
export function troubleOf(set: string, { held, failure, problems, leftOut }: SetResult): string {
  if (failure) return `${set}: ${failure.message}`;
  if (held !== undefined) return `${set} is held: ${held}`;
  const left = [...problems, ...leftOut];
  const [first] = left;
  return first === undefined ? '' : `${set}: ${left.length} not taken: ${first}`;
}

/** How many names are known to differ after that: all of them where nothing was sent, and everything was looked at for it. */
export function waitingOf({ tree }: LiveSet, { held, failure, problems, leftOut }: SetResult): number {
  if ((held === undefined && !failure) || !tree.compared) return problems.length + leftOut.length;
  let differing = 0;
  for (const { here, there } of tree.names.values()) if (here !== there) differing += 1;
  return differing;
}

/** At most so many names of each kind are told. */
const MOST = 1000;

/** What differs, as it was last seen on both sides. */
function differenceOf({ set, tree }: LiveSet): SetDifference {
  const groups = { onlyHere: [] as string[], different: [] as string[], onlyThere: [] as string[] };
  for (const [path, { here, there }] of tree.names) {
    if (here === there) continue;
    if (there === undefined) groups.onlyHere.push(path);
    else if (here === undefined) groups.onlyThere.push(path);
    else groups.different.push(path);
  }
  const shown = (names: string[]): string[] => names.sort().slice(0, MOST).map(shownPath);
  return {
    set: set.name,
    onlyHere: shown(groups.onlyHere),
    different: shown(groups.different),
    onlyThere: shown(groups.onlyThere),
    more: Object.values(groups).some((names) => names.length > MOST),
  };
}

/** Compares without sending anything: for `diff`, and before a newer epoch is taken over. */
export async function difference(line: Line, live: LiveSet): Promise<SetDifference> {
  const { session, epoch } = line;
  const set = live.set.name;
  const since = live.since();
  const looked = live.lookAll();
  const [told] = await Promise.all([session.call('agentDigests', { epoch, set }), looked]).finally(async () => {
    // Nothing is sent here, whatever fails: what events told of has yet to be.
    await looked.catch(() => {});
    live.again(since);
  });
  const theirs = answered(digestsSchema, told);
  const listed = answered(listSchema, await session.call('agentList', { epoch, set, folders: Object.keys(theirs) }));
  const there = new Map(carriedOf(live.tree, listed));
  for (const path of there.keys()) nameOf(live.tree, path);
  for (const [path, name] of live.tree.names) {
    name.there = there.get(path);
    if (name.there !== undefined && isProvisional(name.here)) await live.lookAt(path);
  }
  return differenceOf(live);
}
