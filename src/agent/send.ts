import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { CmsadmError } from '../errors.ts';
import type { Session } from '../host/session.ts';
import { readAccounts } from './accounts.ts';
import { baseOf, isSystemError, mtimeOf, orGone, placeIn, READ_ONLY, unreadable } from './data-set.ts';
import { type Entry, type FileEntry, isFolderSign, PART, shownPath, signOf } from './entry.ts';
import type { LiveSet } from './live-set.ts';
import { forgetIfGone, nameOf, provisionalSign, setHere, stampOf, steady, type Tree } from './tree.ts';
import { makeWindow, type Window } from './window.ts';

/** The line to the other server, with the numbers of what goes over it. */
export type Line = {
  readonly session: Session;
  readonly epoch: number;
  /** The number of the next change, under this epoch. */
  next(): number;
  /** Told the number of each change that the other server has on its disk. */
  acknowledged(seq: number, set: string): void;
  /** Brings many new files at once, where both servers can; the names that it leaves are sent one by one. */
  readonly bulk?: (live: LiveSet, paths: readonly string[]) => Promise<Sent>;
};

/** What was sent of one data set. */
export type Sent = {
  sent: number;
  removed: number;
  bytes: number;
  /** Single names that the other server did not take, and why. */
  readonly problems: string[];
};

/** The errors of one name; the rest of its set goes on. */
const single = ['path-refused', 'account-unknown'];

/** What makes the other server's names equal to those here. */
export type Work = {
  readonly clear: readonly string[];
  readonly put: readonly string[];
  readonly remove: readonly string[];
};

/**
 * First what must go because a folder becomes something else or the reverse, then what is put, folders first; the other
 * removals last. Children go before their folders.
 * @param looked the names to compare; all of them if not given
 */
export function workOf({ names }: Tree, looked?: Iterable<string>): Work {
  const clear: string[] = [];
  const put: string[] = [];
  const remove: string[] = [];
  const changing: string[] = [];
  for (const path of looked ?? names.keys()) {
    const name = names.get(path);
    if (!name || name.here === name.there) continue;
    if (name.here === undefined) remove.push(path);
    else {
      put.push(path);
      if (name.there !== undefined && isFolderSign(name.here) !== isFolderSign(name.there)) changing.push(path);
    }
  }
  for (const path of changing) {
    clear.push(path);
    for (const below of names.below(path)) if (names.get(below)?.there !== undefined) clear.push(below);
  }
  const cleared = new Set(clear);
  const isFolder = (path: string): boolean => isFolderSign(names.get(path)?.here);
  put.sort();
  return {
    clear: clear.sort().reverse(),
    put: [...put.filter(isFolder), ...put.filter((path) => !isFolder(path))],
    remove: remove
      .filter((path) => !cleared.has(path))
      .sort()
      .reverse(),
  };
}

/**
 * Sends work, several calls at a time; names become agreed on as they are answered.
 * @throws CmsadmError session-lost, epoch-older, not-secondary, not-paired, sync-write-failed, data-set-missing,
 *   data-set-unreadable
 */
export async function sendWork(line: Line, { tree }: LiveSet, work: Work): Promise<Sent> {
  const sent: Sent = { sent: 0, removed: 0, bytes: 0, problems: [] };
  const window = makeWindow();
  const base = baseOf(tree.host, tree.set);
  const accounts = readAccounts(tree.host.root);
  try {
    for (const path of work.clear) await removeOne(line, tree, window, path, sent);
    for (const path of work.put) {
      const place = placeIn(base, path);
      const stat = orGone(() => fs.lstatSync(place));
      // What is gone since it was looked at, an event tells.
      if (!stat) continue;
      const own = { path, owner: accounts.owner(stat.uid), group: accounts.group(stat.gid) };
      const mode = stat.mode & 0o7777;
      if (stat.isDirectory()) await putOne(line, tree, window, { type: 'folder', ...own, mode }, sent);
      else if (stat.isSymbolicLink()) {
        const target = orGone(() => fs.readlinkSync(place, 'buffer').toString('latin1'));
        if (target !== undefined) await putOne(line, tree, window, { type: 'link', ...own, target }, sent);
      } else if (stat.isFile()) await putFile(line, tree, window, place, own, sent);
    }
    for (const path of work.remove) await removeOne(line, tree, window, path, sent);
    await window.empty();
  } catch (error) {
    // What was answered stays agreed on; the rest is compared again.
    await window.empty().catch(() => {});
    throw isSystemError(error) ? unreadable(tree.set, error) : error;
  } finally {
    tree.agreed.flush();
  }
  return sent;
}

/** Both servers have this now. @param sent the file's facts when it was read, where it was */
export function agreeOn(tree: Tree, path: string, sign: string, sent?: fs.Stats): void {
  const name = nameOf(tree, path);
  name.there = sign;
  // What was not read before is known now, if it is still what was sent.
  if (sent && name.here === provisionalSign(stampOf(sent))) setHere(tree, path, name, sign, steady(sent));
  tree.agreed.set(path, { sign, stamp: name.here === sign ? name.stamp : '' });
}

const problem = (sent: Sent, path: string, error: unknown): void => {
  if (!(error instanceof CmsadmError) || !single.includes(error.code)) throw error;
  sent.problems.push(`${shownPath(path)}: ${error.message}`);
};

async function removeOne(line: Line, tree: Tree, window: Window, path: string, sent: Sent): Promise<void> {
  const seq = line.next();
  await window.add(path.length, async () => {
    try {
      // A folder that stays because of what the set does not carry is right as it is, too.
      const args = { epoch: line.epoch, seq, set: tree.set.name, path };
      if ((await line.session.call('agentRemove', args)) === true) sent.removed += 1;
      line.acknowledged(seq, tree.set.name);
      nameOf(tree, path).there = undefined;
      tree.agreed.remove(path);
      forgetIfGone(tree, path);
    } catch (error) {
      problem(sent, path, error);
    }
  });
}

async function putOne(line: Line, tree: Tree, window: Window, entry: Entry, sent: Sent): Promise<void> {
  const seq = line.next();
  await window.add(300, async () => {
    try {
      await put(line, tree, seq, entry, 0, '', true);
      acknowledge(line, tree, seq, entry, sent);
    } catch (error) {
      problem(sent, entry.path, error);
    }
  });
}

const put = (line: Line, tree: Tree, seq: number, entry: Entry, offset: number, data: string, last: boolean) =>
  line.session.call('agentPut', { epoch: line.epoch, seq, set: tree.set.name, entry, offset, data, last });

function acknowledge(line: Line, tree: Tree, seq: number, entry: Entry, sent: Sent, stat?: fs.Stats): void {
  line.acknowledged(seq, tree.set.name);
  agreeOn(tree, entry.path, signOf(entry), stat);
  sent.sent += 1;
}

/**
 * Sends a file as it is while it is read, up to the size it has at the start: one that is being written meanwhile goes
 * across as far as it was seen, and again after the next look.
 */
async function putFile(
  line: Line,
  tree: Tree,
  window: Window,
  place: Buffer,
  own: { path: string; owner: string; group: string },
  sent: Sent,
): Promise<void> {
  const file = orGone(() => fs.openSync(place, READ_ONLY));
  if (file === undefined) return;
  try {
    const stat = fs.fstatSync(file);
    if (!stat.isFile()) return;
    const hash = createHash('sha256');
    const part = Buffer.alloc(Math.min(PART, stat.size));
    const seq = line.next();
    let failed: { readonly error: unknown } | undefined;
    for (let offset = 0; ; ) {
      const length = fs.readSync(file, part, 0, Math.min(part.length, stat.size - offset), offset);
      const data = part.subarray(0, length);
      hash.update(data);
      const size = offset + length;
      const last = length === 0 || size === stat.size;
      const sha256 = hash.copy().digest('hex');
      const entry: FileEntry = { type: 'file', ...own, mode: stat.mode & 0o7777, mtimeMs: mtimeOf(stat), size, sha256 };
      const [from, text] = [offset, data.toString('base64')];
      await window.add(text.length + 300, async () => {
        try {
          await put(line, tree, seq, entry, from, text, last);
          if (!last) return;
          acknowledge(line, tree, seq, entry, sent, stat);
          sent.bytes += size;
        } catch (error) {
          // After a refused part the others are out of order: the first error is the one to tell.
          failed ??= { error };
          if (last) problem(sent, own.path, failed.error);
        }
      });
      if (last) return;
      offset = size;
    }
  } finally {
    fs.closeSync(file);
  }
}
