import * as fs from 'node:fs';
import { CmsadmError } from '../errors.ts';
import type { Conflict } from '../pair/sync-reports.ts';
import { type Accounts, readAccounts } from './accounts.ts';
import type { Agent } from './agent.ts';
import type { Change } from './changes.ts';
import { conflictText, recordConflict, withdrawConflicts } from './conflicts.ts';
import { isSystemError, orGone } from './data-set.ts';
import { type Entry, type FileEntry, shownPath, signOf } from './entry.ts';
import { noteLink } from './hard-links.ts';
import { begin, drop, grow, type Incoming, seal } from './incoming.ts';
import { contentAt, contentOf, type Kept, keep, standsKept, takeBack } from './kept.ts';
import type { LiveSet } from './live-set.ts';
import { type Held, holdPlace, makeLink, standsAt, type Writer } from './place.ts';
import { nameOf, setHere, stampOf, type Tree } from './tree.ts';

/** Who takes the changes of one message, and into what. */
export type Taker = {
  readonly agent: Agent;
  readonly live: LiveSet;
  readonly writer: Writer;
  /**
   * Asked again whenever something is about to be put in its place: a role may have changed while the disk was busy.
   * @throws CmsadmError what refuses the caller
   */
  readonly may: () => void;
};

/** A change that is ready: what comes lies beside its place, what it replaces is kept. */
export type Ready = {
  readonly path: string;
  /** What stands there when it is done; undefined for a removal. */
  readonly sign: string | undefined;
  readonly held: Held;
  /** What is put in the place: under a temporary name, or a folder that is made there. */
  temporary?: Buffer | undefined;
  file?: number | undefined;
  readonly folder?: Extract<Entry, { type: 'folder' }>;
  /** The file that it becomes a further name of. */
  readonly first?: string;
  /** What that file held when it got its temporary name (`contentAt`). */
  readonly linked?: string;
  /** The folder that was made, opened. */
  made?: number;
  /** What stood there when it was kept, and what must be synced before that may go. */
  stood: string;
  unsynced: readonly Buffer[];
  /** The copies of what stood there. */
  readonly kept: KeptVersion[];
  isPlaced: boolean;
};

/**
 * A version that was kept: what stood in the place then; of whom, where it was one that the other server never had; the
 * record of its loss, once that is on the disk.
 */
type KeptVersion = Kept & { readonly stood: string; readonly owner: string | undefined; conflict?: Conflict };

type Begun = Omit<Ready, 'stood' | 'unsynced' | 'kept' | 'isPlaced'>;

const begun = (what: Begun): Ready => ({ ...what, stood: '', unsynced: [], kept: [], isPlaced: false });

/** Makes a change ready; nothing is left of it where that fails. @throws CmsadmError, or the system's error */
export type Prepare = (taker: Taker, accounts: Accounts) => Promise<Ready>;

export function prepareChange(change: Change): Prepare {
  if (change.kind === 'remove')
    return (taker) =>
      replacing(taker, { path: change.path, sign: undefined, held: holdPlace(taker.live.tree, change.path) });
  const { entry, data } = change;
  const { path } = entry;
  if (entry.type === 'file' && entry.same !== undefined) return (taker) => furtherName(taker, entry, entry.same ?? '');
  if (entry.type === 'file')
    return (taker, accounts) => {
      const incoming = begin(taker.writer, taker.live.set, path, holdPlace(taker.live.tree, path));
      try {
        grow(incoming, Buffer.from(data, 'base64'));
      } catch (error) {
        drop(incoming);
        throw error;
      }
      return sealed(taker, accounts, incoming, entry);
    };
  const sign = signOf(entry);
  if (entry.type === 'folder')
    return async (taker) => begun({ path, sign, held: holdPlace(taker.live.tree, path), folder: entry });
  return (taker, accounts) => {
    const held = holdPlace(taker.live.tree, path);
    try {
      return replacing(taker, { path, sign, held, temporary: makeLink(taker.writer, accounts, entry, held) });
    } catch (error) {
      fs.closeSync(held.handle);
      throw error;
    }
  };
}

export function sealed(taker: Taker, accounts: Accounts, incoming: Incoming, entry: FileEntry): Promise<Ready> {
  const { path, held, temporary, file } = incoming;
  try {
    seal(accounts, incoming, entry, taker.agent.host.root.ownersCount);
  } catch (error) {
    drop(incoming);
    throw error;
  }
  return replacing(taker, { path, sign: signOf(entry), held, temporary, file });
}

/** A file that is here already gets one more name. @throws CmsadmError link-refused, if it is not the same file here */
async function furtherName(taker: Taker, entry: FileEntry, first: string): Promise<Ready> {
  const { live, writer } = taker;
  const { tree } = live;
  const held = holdPlace(tree, entry.path);
  let temporary: Buffer | undefined;
  let linked = '';
  try {
    const other = holdPlace(tree, first);
    try {
      linked = contentAt(other.place);
      await live.lookAt(first);
      const { same: _same, ...alone } = entry;
      temporary = tree.names.get(first)?.here === signOf(alone) ? writer.temporary(held) : undefined;
      if (!temporary) throw linkRefused(entry.path, first);
      fs.linkSync(other.place, temporary);
      const now = fs.lstatSync(temporary);
      // Nobody has put something else there meanwhile, nor written into it.
      if (!now.isFile() || contentOf(now) !== linked) throw linkRefused(entry.path, first);
      // Its stamp is new with each name; it need not be read again for the next.
      note(tree, first, signOf(alone), now);
    } finally {
      fs.closeSync(other.handle);
    }
  } catch (error) {
    if (temporary) fs.rmSync(temporary, { force: true });
    fs.closeSync(held.handle);
    // EMLINK, EXDEV, EPERM: there it can be a file of its own only.
    throw isSystemError(error) ? linkRefused(entry.path, first) : error;
  }
  return replacing(taker, { path: entry.path, sign: signOf(entry), held, temporary, first, linked });
}

/** Asked last before a further name is put in its place. @throws CmsadmError link-refused where somebody wrote into the file since */
export function requireAsLinked({ path, first, linked, temporary }: Ready): void {
  if (first !== undefined && temporary && contentAt(temporary) !== linked) throw linkRefused(path, first);
}

const linkRefused = (path: string, first: string): CmsadmError =>
  new CmsadmError('link-refused', `${shownPath(path)} cannot be made another name of ${shownPath(first)}.`);

async function replacing(taker: Taker, what: Begun): Promise<Ready> {
  const ready = begun(what);
  try {
    await keepWhatStands(taker, ready);
    return ready;
  } catch (error) {
    letGo(taker, ready);
    throw error;
  }
}

/** Keeps what is about to be replaced; notes whose it is where it is a version of this server's own that the other one never had. */
export async function keepWhatStands({ agent: { host }, live }: Taker, ready: Ready): Promise<void> {
  const { path, held, sign } = ready;
  const { set, tree } = live;
  if (['', '/'].includes(standsAt(held))) {
    ready.stood = standsAt(held);
    return;
  }
  const before = standsAt(held);
  const content = contentAt(held.place);
  await live.lookAt(path);
  const here = tree.names.get(path)?.here;
  const isKnown = here === undefined || here === sign || tree.agreed.isKnown(path, here);
  const isEdited = standsAt(held) !== before;
  const uid = orGone(() => fs.lstatSync(held.place))?.uid;
  const kept = await keep(host, set, path, held.place);
  ready.unsynced = kept?.unsynced ?? [];
  ready.stood = standsKept(held, kept);
  if (!kept) return;
  // What changed while it was read or copied is somebody's of this server, whatever was known of it.
  const isOwn = !isKnown || isEdited || kept.of !== content;
  const owner = isOwn && uid !== undefined ? readAccounts(host.root).owner(uid) : undefined;
  ready.kept.push({ ...kept, stood: ready.stood, owner });
}

/** Has on the disk which versions lose by what is put in its place next: whoever dies right after has told it. */
export function recordLosses({ agent: { host }, live: { set } }: Taker, ready: Ready): void {
  for (const one of ready.kept)
    if (one.owner !== undefined) one.conflict ??= recordConflict(host, set, ready.path, one.owner, one.path);
}

const lossesOf = ({ kept }: Ready): Conflict[] => kept.flatMap(({ conflict }) => conflict ?? []);

export function tellLosses({ agent: { event } }: Taker, ready: Ready): void {
  for (const conflict of lossesOf(ready)) event('sync-conflict', conflictText(conflict));
}

/** Closes what a change has opened, and removes what was not put in its place. */
export function letGo(taker: Taker, ready: Ready): void {
  const { temporary, file, made, held } = ready;
  if (!ready.isPlaced) forgetLosses(taker, ready);
  if (file !== undefined) fs.closeSync(file);
  if (made !== undefined) fs.closeSync(made);
  if (temporary) fs.rmSync(temporary, { force: true });
  fs.closeSync(held.handle);
}

/** Nothing was replaced. What was kept for it would be kept again with each try; what somebody else removed meanwhile stays. */
function forgetLosses({ agent: { host }, live: { set } }: Taker, ready: Ready): void {
  try {
    const conflicts = lossesOf(ready);
    if (conflicts.length > 0) withdrawConflicts(host, conflicts);
    for (const one of ready.kept) if (stillStands(ready.held, one)) takeBack(host, set, one);
  } catch (error) {
    // On a disk that takes nothing a copy too many stays, and its record.
    if (!isSystemError(error)) throw error;
  }
}

function stillStands(held: Held, { place, stood }: KeptVersion): boolean {
  const [here, copy] = [held.place, place].map((one) => orGone(() => fs.lstatSync(one)));
  return (copy && here?.ino === copy.ino && here.dev === copy.dev) || standsAt(held) === stood;
}

/** This stands here now, and both agree on it. */
export function note(tree: Tree, path: string, sign: string, stat: fs.Stats): void {
  noteLink(tree, path, stat);
  setHere(tree, path, nameOf(tree, path), sign, stampOf(stat));
  tree.agreed.set(path, { sign, stamp: stampOf(stat) });
}
