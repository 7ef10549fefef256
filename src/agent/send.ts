import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { CmsadmError } from '../errors.ts';
import { type Accounts, readAccounts } from './accounts.ts';
import { answered } from './answers.ts';
import { type Batch, makeBatch, orRefused } from './batch.ts';
import { type Answer, answerSchema, FULL } from './changes.ts';
import { baseOf, entryAt, isSystemError, mtimeOf, orGone, placeIn, READ_ONLY, unreadable } from './data-set.ts';
import { type Entry, type FileEntry, isFolderSign, PART, shownPath, signOf } from './entry.ts';
import { firstOf } from './hard-links.ts';
import type { Line, Sent } from './line.ts';
import type { LiveSet } from './live-set.ts';
import { forgetIfGone, nameOf, provisionalSign, setHere, stampOf, steady, type Tree } from './tree.ts';
import { makeWindow, type Window } from './window.ts';
import type { Work } from './work.ts';

/** The errors of one name; the rest of its set goes on. */
const single = ['path-refused', 'account-unknown'];

/**
 * Sends work, many changes in a message and several messages at a time; names become agreed on as they are answered.
 * @throws CmsadmError session-lost, epoch-older, not-secondary, not-paired, sync-write-failed, data-set-missing,
 *   data-set-unreadable
 */
export async function sendWork(line: Line, live: LiveSet, work: Work): Promise<Sent> {
  const { session, epoch } = line;
  const { tree } = live;
  const sent: Sent = { sent: 0, removed: 0, bytes: 0, problems: [] };
  const window = makeWindow();
  const batch = makeBatch(window, (changes) => session.call('agentChanges', { epoch, set: tree.set.name, changes }));
  const numbers: number[] = [];
  const next = (): number => {
    const seq = line.next();
    numbers.push(seq);
    return seq;
  };
  const on: Sending = {
    touch: (path) => live.touch([path]),
    line: { ...line, next },
    tree,
    window,
    batch,
    sent,
    accounts: readAccounts(tree.host.root),
    large: [],
    further: [],
    alone: [],
    read: new Map(),
  };
  const base = baseOf(tree.host, tree.set);
  try {
    for (const path of work.clear) await removeOne(on, path);
    for (const path of work.put) await putOne(on, path, placeIn(base, path));
    await whileBusy(line, live, on.large, async () => {
      for (const path of on.large) await putLarge(on, path, placeIn(base, path));
      await window.empty();
    });
    // The files that they are names of are on the way.
    for (const path of on.further) await putFurther(on, path, placeIn(base, path));
    if (on.further.length > 0) {
      await batch.send();
      await window.empty();
    }
    for (const path of on.alone) await putAlone(on, path, placeIn(base, path));
    for (const path of work.remove) if (tree.names.get(path)?.here === undefined) await removeOne(on, path);
    await batch.send();
    await window.empty();
  } catch (error) {
    // What was answered stays agreed on; the rest is compared again.
    await window.empty().catch(() => {});
    throw isSystemError(error) ? unreadable(tree.set, error) : error;
  } finally {
    line.over(numbers);
    tree.agreed.flush();
  }
  return sent;
}

type Sending = {
  /** Has a name looked at again. */
  readonly touch: (path: string) => void;
  readonly line: Line;
  readonly tree: Tree;
  readonly window: Window;
  readonly batch: Batch;
  readonly sent: Sent;
  readonly accounts: Accounts;
  /** Files that go when the others are on their way. */
  readonly large: string[];
  /** Further names of files (hard links), and those of them that the other server can only have as files of their own. */
  readonly further: string[];
  readonly alone: string[];
  /** What was read for one name, for the next ones of the same file; by device and stamp. */
  readonly read: Map<string, Entry>;
};

/** Does what takes long, and lets others see which names it is about. */
export async function whileBusy(
  line: Line,
  live: LiveSet,
  paths: readonly string[],
  work: () => Promise<void>,
): Promise<void> {
  if (paths.length === 0) return;
  const busy = new Set(paths);
  line.busy?.set(live.set.name, busy);
  try {
    await work();
  } finally {
    line.busy?.delete(live.set.name);
    // Those that came meanwhile and had to wait, and those of which no event told: a folder above them went, or another name
    // of the file was changed.
    const { names, refused } = live.tree;
    const isOther = (path: string): boolean => {
      const name = names.get(path);
      if (name?.here === undefined) return true;
      return name.there !== undefined && name.there !== name.here && !refused.has(path);
    };
    live.touch([...busy].filter((path, index) => index >= paths.length || isOther(path)));
  }
}

/** True for a name that has to wait for one that is busy: it is that one, it is below it, or it is large itself. */
function mustWait({ line, tree }: Sending, path: string, isLarge: boolean): boolean {
  const busy = line.busy?.get(tree.set.name);
  if (!busy) return false;
  const waits = isLarge || busy.has(path) || (isFolder(tree, path) && holdsAny(path, busy));
  if (waits) busy.add(path);
  return waits;
}

/** True for a folder here or there. */
function isFolder({ names }: Tree, path: string): boolean {
  const name = names.get(path);
  return isFolderSign(name?.here) || isFolderSign(name?.there);
}

function holdsAny(folder: string, paths: Iterable<string>): boolean {
  for (const path of paths) if (path.startsWith(`${folder}/`)) return true;
  return false;
}

/** A file that was read: its facts, and the stamp under which it will not change any more. */
type Read = { readonly stat: fs.Stats; readonly stamp: string };

/** Both servers have this now. @param read of a file: what it was when it was read */
export function agreeOn(tree: Tree, path: string, sign: string, read?: Read): void {
  const name = nameOf(tree, path);
  name.there = sign;
  // What was not read before is known now, if it is still what was sent.
  if (read && name.here === provisionalSign(stampOf(read.stat))) setHere(tree, path, name, sign, read.stamp);
  tree.agreed.set(path, { sign, stamp: name.here === sign ? name.stamp : '' });
}

/** Done, or the problem of one name. @throws what stops the set */
function settled(on: Sending, path: string, answer: Answer): boolean | undefined {
  try {
    return orRefused(answer);
  } catch (error) {
    problem(on, path, error);
    return undefined;
  }
}

function problem({ sent, tree }: Sending, path: string, error: unknown): void {
  if (!(error instanceof CmsadmError) || !single.includes(error.code)) throw error;
  sent.problems.push(`${shownPath(path)}: ${error.message}`);
  tree.refused.add(path);
}

function removeOne(on: Sending, path: string): Promise<void> {
  const { line, tree, batch, sent } = on;
  if (mustWait(on, path, false)) return Promise.resolve();
  const seq = line.next();
  return batch.add({ kind: 'remove', seq, path }, path.length, (answer) => {
    const gone = settled(on, path, answer);
    if (gone === undefined) return;
    // A folder that stays because of what the set does not carry is right as it is, too.
    if (gone) sent.removed += 1;
    line.acknowledged(seq, tree.set.name);
    nameOf(tree, path).there = undefined;
    tree.agreed.remove(path);
    forgetIfGone(tree, path);
  });
}

type Own = { readonly path: string; readonly owner: string; readonly group: string };

async function putOne(on: Sending, path: string, place: Buffer): Promise<void> {
  const stat = orGone(() => fs.lstatSync(place));
  // What is gone since it was looked at, an event tells.
  if (!stat || isAcross(on.tree, path)) return;
  const own = ownOf(on, path, stat);
  if (stat.isDirectory()) return putWhole(on, { type: 'folder', ...own, mode: stat.mode & 0o7777 }, '');
  if (stat.isSymbolicLink()) {
    const target = orGone(() => fs.readlinkSync(place, 'buffer').toString('latin1'));
    if (target !== undefined) await putWhole(on, { type: 'link', ...own, target }, '');
  } else if (stat.isFile() && !mustWait(on, path, stat.size > LARGE)) {
    if (firstOf(on.tree, path) !== undefined) on.further.push(path);
    else if (stat.size > LARGE) on.large.push(path);
    else await putFile(on, place, own);
  }
}

/** It may have been sent while something else was busy. */
const isAcross = ({ names }: Tree, path: string): boolean => {
  const name = names.get(path);
  return name?.here !== undefined && name.here === name.there;
};

async function putLarge(on: Sending, path: string, place: Buffer): Promise<void> {
  const stat = orGone(() => fs.lstatSync(place));
  if (stat?.isFile()) await putFile(on, place, ownOf(on, path, stat));
}

const ownOf = ({ accounts }: Sending, path: string, { uid, gid }: fs.Stats): Own => ({
  path,
  owner: accounts.owner(uid),
  group: accounts.group(gid),
});

/** Sends a further name of a file, without its content. */
async function putFurther(on: Sending, path: string, place: Buffer): Promise<void> {
  const stat = orGone(() => fs.lstatSync(place));
  const same = firstOf(on.tree, path);
  if (!stat?.isFile() || same === undefined) return;
  const file = `${stat.dev}:${stampOf(stat)}`;
  const read = { stat, stamp: steady(stat) };
  const entry = on.read.get(file) ?? (await entryAt({ path, place, stat }, on.accounts));
  if (entry?.type !== 'file') return;
  on.read.set(file, entry);
  const seq = on.line.next();
  const further = { ...entry, path, same };
  await on.batch.add({ kind: 'put', seq, entry: further, data: '' }, 0, (answer) => {
    if (typeof answer !== 'boolean' && answer.code === 'link-refused') on.alone.push(path);
    else if (settled(on, path, answer) !== undefined) acknowledge(on, seq, further, read, 0);
  });
}

/** Sends as a file of its own what can't be a further name there; once is enough. */
async function putAlone(on: Sending, path: string, place: Buffer): Promise<void> {
  const stat = orGone(() => fs.lstatSync(place));
  const entry = stat?.isFile() ? await entryAt({ path, place, stat }, on.accounts) : undefined;
  if (stat && entry && on.tree.names.get(path)?.there !== signOf(entry))
    await putFile(on, place, ownOf(on, path, stat));
}

function putWhole(on: Sending, entry: Entry, data: string, read?: Read): Promise<void> {
  const seq = on.line.next();
  const bytes = entry.type === 'file' ? entry.size : 0;
  return on.batch.add({ kind: 'put', seq, entry, data }, bytes, (answer) => {
    if (settled(on, entry.path, answer) !== undefined) acknowledge(on, seq, entry, read, bytes);
  });
}

function acknowledge(on: Sending, seq: number, entry: Entry, read: Read | undefined, bytes: number): void {
  const { line, tree, sent } = on;
  line.acknowledged(seq, tree.set.name);
  agreeOn(tree, entry.path, signOf(entry), read);
  // It went, or was changed, before this answer came: what was looked at meanwhile did not know that it is there.
  if (tree.names.get(entry.path)?.here !== signOf(entry)) on.touch(entry.path);
  sent.sent += 1;
  sent.bytes += bytes;
}

/**
 * Sends a file as it is while it is read, up to the size it has at the start: one that is being written meanwhile goes
 * across as far as it was seen, and again after the next look.
 */
async function putFile(on: Sending, place: Buffer, own: Own): Promise<void> {
  const file = orGone(() => fs.openSync(place, READ_ONLY));
  if (file === undefined) return;
  try {
    const stat = fs.fstatSync(file);
    if (!stat.isFile()) return;
    // Before it is read: what is written after that must not hide behind the same stamp.
    const read = { stat, stamp: steady(stat) };
    const facts = { type: 'file' as const, ...own, mode: stat.mode & 0o7777, mtimeMs: mtimeOf(stat) };
    if (stat.size > WHOLE) return await putParts(on, file, read, facts);
    const content = Buffer.alloc(stat.size);
    const data = content.subarray(0, fs.readSync(file, content, 0, stat.size, 0));
    const sha256 = createHash('sha256').update(data).digest('hex');
    await putWhole(on, { ...facts, size: data.length, sha256 }, data.toString('base64'), read);
  } finally {
    fs.closeSync(file);
  }
}

/** Larger files go in parts, one at a time. */
const WHOLE = FULL.bytes / 2;
/** Larger ones go last, and let others pass. */
const LARGE = 4 * PART;

async function putParts(
  on: Sending,
  file: number,
  read: Read,
  facts: Omit<FileEntry, 'size' | 'sha256'>,
): Promise<void> {
  const { line, tree, window } = on;
  const { stat } = read;
  // Its folder must be there.
  await on.batch.send();
  const hash = createHash('sha256');
  const part = Buffer.alloc(Math.min(PART, stat.size));
  let failed: { readonly error: unknown } | undefined;
  for (let offset = 0; ; ) {
    const length = fs.readSync(file, part, 0, Math.min(part.length, stat.size - offset), offset);
    const data = part.subarray(0, length);
    hash.update(data);
    const size = offset + length;
    const last = length === 0 || size === stat.size;
    const entry = { ...facts, size, sha256: hash.copy().digest('hex') };
    // Numbers are acknowledged in their order: others may have passed.
    const seq = last ? line.next() : undefined;
    const args = { epoch: line.epoch, set: tree.set.name, entry, offset, data: data.toString('base64'), seq };
    await window.add(args.data.length + 300, async () => {
      try {
        const answer = answered(answerSchema, await line.session.call('agentPut', args));
        if (seq === undefined) return;
        orRefused(answer);
        acknowledge(on, seq, entry, read, size);
      } catch (error) {
        // After a refused part the others are out of order: the first error is the one to tell.
        failed ??= { error };
        if (last) problem(on, facts.path, failed.error);
      }
    });
    if (last) return;
    if (failed) return problem(on, facts.path, failed.error);
    offset = size;
    if (line.busy?.get(tree.set.name)?.has(facts.path)) await line.meanwhile?.();
  }
}
