import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { CmsadmError } from '../errors.ts';
import { type Accounts, readAccounts } from './accounts.ts';
import type { Agent } from './agent.ts';
import { noteUnapplied } from './apply.ts';
import type { Answer, Change, Refusal } from './changes.ts';
import { isSystemError, orGone } from './data-set.ts';
import { type Entry, type FileEntry, shownPath, signOf } from './entry.ts';
import { besides, noteLink } from './hard-links.ts';
import { begin, drop, grow, type Incoming, seal } from './incoming.ts';
import { keep, recordConflict } from './kept.ts';
import type { LiveSet } from './live-set.ts';
import { type Held, holdPlace, makeLink, moveIn, putFolder, remove, standsAt, type Writer } from './place.ts';
import { foreseen, writeFailed } from './refusals.ts';
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
type Ready = {
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
  /** The folder that was made, opened. */
  made?: number;
  /** What stood there when it was kept, and what must be synced before that may go. */
  stood: string;
  unsynced: readonly Buffer[];
};

/** Makes a change ready; nothing is left of it where that fails. @throws CmsadmError, or the system's error */
type Prepare = (taker: Taker, accounts: Accounts) => Promise<Ready>;

/**
 * Takes changes in their order. Those that need not wait for one another go together: all of their files are synced at
 * once, then each is put in its place, and at the end the folders are synced at once: a disk writes many as fast as one.
 * An answer for each, when everything is on disk; the refusal of one does not stop the others.
 * @throws CmsadmError what refuses the caller, sync-write-failed: the caller must compare again
 */
export const takeChanges = (taker: Taker, changes: readonly Change[]): Promise<Answer[]> =>
  commit(
    taker,
    groupsOf(changes).map((group) => group.map(prepareChange)),
  );

/** Takes a file that came in parts. Its temporary file is gone in any case. @throws as takeChanges does */
export async function takeIncoming(taker: Taker, incoming: Incoming, entry: FileEntry): Promise<Answer> {
  const [answer = false] = await commit(taker, [[(_taker, accounts) => sealed(taker, accounts, incoming, entry)]]);
  return answer;
}

/** Neighbours of one kind and of different names: a file waits for its folder, and for what must go before it. */
function groupsOf(changes: readonly Change[]): Change[][] {
  const groups: Change[][] = [];
  let names = new Set<string>();
  let kind = '';
  for (const change of changes) {
    const path = change.kind === 'remove' ? change.path : change.entry.path;
    // A folder at a time: the next one may lie in it.
    if (kindOf(change) !== kind || kind === 'folder' || names.has(path)) {
      groups.push([]);
      names = new Set();
      kind = kindOf(change);
    }
    names.add(path);
    groups.at(-1)?.push(change);
  }
  return groups;
}

const kindOf = (change: Change): string => {
  if (change.kind === 'remove') return 'removal';
  if (change.entry.type === 'folder') return 'folder';
  return change.entry.type === 'file' && change.entry.same !== undefined ? 'further name' : 'file or link';
};

async function commit(taker: Taker, groups: readonly (readonly Prepare[])[]): Promise<Answer[]> {
  const { agent, live, may } = taker;
  const { set } = live;
  const accounts = readAccounts(agent.host.root);
  const all: Ready[] = [];
  const answers: Answer[] = [];
  try {
    for (const group of groups) {
      const steps: (Ready | Refusal)[] = [];
      for (const prepare of group) {
        const step = await refusalOr(live, () => prepare(taker, accounts));
        if (isReady(step)) all.push(step);
        steps.push(step);
      }
      foreseen(set.name, set.path, () => expectAll(live, steps.filter(isReady)));
      const synced = await syncGroup(live, steps);
      may();
      if (synced.some(isReady)) foreseen(set.name, set.path, () => noteUnapplied(agent, set));
      for (const step of synced)
        answers.push(isReady(step) ? await refusalOr(live, () => putInPlace(taker, accounts, step)) : step);
    }
    await orWriteFailed(live, () => syncFolders(all));
    return answers;
  } finally {
    for (const ready of all) letGo(ready);
    live.tree.agreed.flush();
  }
}

/** What is put in its place next is nobody's own version, even if this process dies before it can note that. */
function expectAll({ tree: { agreed } }: LiveSet, steps: readonly Ready[]): void {
  for (const { path, sign } of steps.filter(isReplacing)) if (sign !== undefined) agreed.expect(path, sign);
  agreed.flush();
}

const isReplacing = ({ sign, folder }: Ready): boolean => sign !== undefined && !folder;

const isReady = (step: Ready | Refusal): step is Ready => 'held' in step;

async function orWriteFailed<T>({ set }: LiveSet, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (cause) {
    throw writeFailed(set.name, set.path, cause);
  }
}

/** What is foreseen to be in the way of one name becomes its answer. */
async function refusalOr<T>({ set }: LiveSet, work: () => Promise<T>): Promise<T | Refusal> {
  try {
    return await work();
  } catch (cause) {
    const { code, message, remedy, file } = writeFailed(set.name, set.path, cause);
    return { code, message, ...(remedy === undefined ? {} : { remedy }), ...(file === undefined ? {} : { file }) };
  }
}

function prepareChange(change: Change): Prepare {
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
    return async (taker) => ({
      path,
      sign,
      held: holdPlace(taker.live.tree, path),
      folder: entry,
      stood: '',
      unsynced: [],
    });
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

function sealed(taker: Taker, accounts: Accounts, incoming: Incoming, entry: FileEntry): Promise<Ready> {
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
  try {
    const other = holdPlace(tree, first);
    try {
      await live.lookAt(first);
      const { same: _same, ...alone } = entry;
      temporary = tree.names.get(first)?.here === signOf(alone) ? writer.temporary(held) : undefined;
      if (!temporary) throw linkRefused(entry, first);
      const before = fs.lstatSync(other.place);
      fs.linkSync(other.place, temporary);
      const now = fs.lstatSync(temporary);
      // Nobody has put something else there meanwhile.
      if (!now.isFile() || now.ino !== before.ino) throw linkRefused(entry, first);
      // Its stamp is new with each name; it need not be read again for the next.
      if (now.size === before.size && now.mtimeMs === before.mtimeMs) note(tree, first, signOf(alone), now);
    } finally {
      fs.closeSync(other.handle);
    }
  } catch (error) {
    if (temporary) fs.rmSync(temporary, { force: true });
    fs.closeSync(held.handle);
    // EMLINK, EXDEV, EPERM: there it can be a file of its own only.
    throw isSystemError(error) ? linkRefused(entry, first) : error;
  }
  return replacing(taker, { path: entry.path, sign: signOf(entry), held, temporary, first });
}

const linkRefused = ({ path }: FileEntry, first: string): CmsadmError =>
  new CmsadmError('link-refused', `${shownPath(path)} cannot be made another name of ${shownPath(first)}.`);

async function replacing(taker: Taker, what: Omit<Ready, 'stood' | 'unsynced'>): Promise<Ready> {
  const ready: Ready = { ...what, stood: '', unsynced: [] };
  try {
    await keepWhatStands(taker, ready);
    return ready;
  } catch (error) {
    letGo(ready);
    throw error;
  }
}

/** Keeps what is about to be replaced; a version of this server's own that the other one never had is a conflict. */
async function keepWhatStands({ agent: { host, event }, live }: Taker, ready: Ready): Promise<void> {
  const { path, held, sign } = ready;
  const { set, tree } = live;
  if (!['', '/'].includes(standsAt(held))) {
    await live.lookAt(path);
    const here = tree.names.get(path)?.here;
    const isOwn = here !== undefined && here !== sign && !tree.agreed.isKnown(path, here);
    const owner = orGone(() => fs.lstatSync(held.place))?.uid;
    const kept = keep(host, set, path, held.place);
    ready.unsynced = kept?.unsynced ?? [];
    if (kept && isOwn && owner !== undefined)
      event('sync-conflict', recordConflict(host, set, path, readAccounts(host.root).owner(owner), kept.path));
  }
  ready.stood = standsAt(held);
}

const fsync = promisify(fs.fsync);

async function syncPlace(place: string): Promise<void> {
  const handle = fs.openSync(Buffer.from(place, 'latin1'), fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
  try {
    await fsync(handle);
  } finally {
    fs.closeSync(handle);
  }
}

const syncKept = (steps: readonly Ready[]): Promise<unknown> =>
  Promise.all(
    [...new Set(steps.flatMap(({ unsynced }) => unsynced.map((place) => place.toString('latin1'))))].map(syncPlace),
  );

async function syncExpected({ tree: { agreed } }: LiveSet, steps: readonly Ready[]): Promise<void> {
  const file = agreed.file();
  if (file !== undefined && steps.some(isReplacing)) await syncPlace(Buffer.from(file).toString('latin1'));
}

/** Syncs new files, kept copies and what tells of them, all at once. */
async function syncGroup(live: LiveSet, steps: readonly (Ready | Refusal)[]): Promise<(Ready | Refusal)[]> {
  const [synced] = await Promise.all([
    Promise.all(
      steps.map((step) =>
        refusalOr(live, async () => {
          if (isReady(step) && step.file !== undefined) await fsync(step.file);
          return step;
        }),
      ),
    ),
    orWriteFailed(live, () => syncKept(steps.filter(isReady))),
    orWriteFailed(live, () => syncExpected(live, steps.filter(isReady))),
  ]);
  return synced;
}

/** Syncs the folders in which something was done, each once. */
async function syncFolders(all: readonly Ready[]): Promise<void> {
  const handles = new Map<string, number>();
  for (const handle of all.flatMap(({ held, made }) => (made === undefined ? [held.handle] : [held.handle, made]))) {
    const { dev, ino } = fs.fstatSync(handle);
    handles.set(`${dev}:${ino}`, handle);
  }
  await Promise.all([...handles.values()].map((handle) => fsync(handle)));
}

/** What is written here all the time is kept so often, and then replaced. */
const TRIES = 3;

async function putInPlace(taker: Taker, accounts: Accounts, ready: Ready): Promise<boolean> {
  const { agent, live } = taker;
  const { set, tree } = live;
  const { path, sign, held, folder } = ready;
  for (let again = 0; !folder && standsAt(held) !== ready.stood && again < TRIES; again += 1) {
    await keepWhatStands(taker, ready);
    await syncKept([ready]);
  }
  const others = besides(tree, path);
  if (folder) ready.made = putFolder(agent.host, accounts, set, folder, held);
  else if (ready.temporary) {
    moveIn(set, path, ready.temporary, held);
    // A name that stood for this very file already leaves the other one where it was. (rename(2))
    if (ready.first === undefined) ready.temporary = undefined;
  } else if (!remove(held)) return false;
  const stat = sign === undefined ? undefined : fs.lstatSync(held.place);
  noteLink(tree, path, stat);
  if (sign === undefined || !stat) {
    setHere(tree, path, nameOf(tree, path), undefined, '');
    tree.names.delete(path);
    tree.agreed.remove(path);
  } else {
    // All names of a file get a new stamp with each.
    const first = ready.first === undefined ? undefined : tree.names.get(ready.first)?.here;
    if (ready.first !== undefined && first !== undefined) note(tree, ready.first, first, stat);
    note(tree, path, sign, stat);
  }
  for (const other of others) await agreeAgain(live, other);
  return true;
}

function note(tree: Tree, path: string, sign: string, stat: fs.Stats): void {
  noteLink(tree, path, stat);
  setHere(tree, path, nameOf(tree, path), sign, stampOf(stat));
  tree.agreed.set(path, { sign, stamp: stampOf(stat) });
}

/** A name whose file lost another name through what was just done: that is no edit. */
async function agreeAgain({ tree, lookAt }: LiveSet, path: string): Promise<void> {
  const isAgreed = tree.names.get(path)?.here === tree.agreed.get(path)?.sign;
  await lookAt(path);
  const name = tree.names.get(path);
  if (isAgreed && name?.here !== undefined) tree.agreed.set(path, { sign: name.here, stamp: name.stamp });
}

/** Closes what a change has opened, and removes what was not put in its place. */
function letGo({ temporary, file, made, held }: Ready): void {
  if (file !== undefined) fs.closeSync(file);
  if (made !== undefined) fs.closeSync(made);
  if (temporary) fs.rmSync(temporary, { force: true });
  fs.closeSync(held.handle);
}
