import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { type Accounts, readAccounts } from './accounts.ts';
import type { Answer, Change, Refusal } from './changes.ts';
import { baseOf, placeIn } from './data-set.ts';
import type { FileEntry } from './entry.ts';
import { besides, noteLink } from './hard-links.ts';
import type { Incoming } from './incoming.ts';
import { contentAt, contentOf, TRIES } from './kept.ts';
import type { LiveSet } from './live-set.ts';
import { folderOf } from './names.ts';
import { moveIn, putFolder, remove, standsAt } from './place.ts';
import {
  keepWhatStands,
  letGo,
  note,
  type Prepare,
  prepareChange,
  type Ready,
  recordLosses,
  requireAsLinked,
  sealed,
  type Taker,
  tellLosses,
} from './prepare.ts';
import { foreseen, writeFailed } from './refusals.ts';
import { nameOf, setHere, type Tree } from './tree.ts';
import { noteUnapplied } from './unapplied.ts';

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

/** Neighbours of one kind and of different names, none in another: what lies in a folder waits for it, and for what must go before. */
function groupsOf(changes: readonly Change[]): Change[][] {
  const groups: Change[][] = [];
  let names = new Set<string>();
  let kind = '';
  for (const change of changes) {
    const path = change.kind === 'remove' ? change.path : change.entry.path;
    if (kindOf(change) !== kind || names.has(path) || names.has(folderOf(path))) {
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
      if (synced.some(isReady)) foreseen(set.name, set.path, () => noteUnapplied(agent, set, 'received'));
      for (const step of synced)
        answers.push(isReady(step) ? await refusalOr(live, () => putInPlace(taker, accounts, step)) : step);
    }
    await orWriteFailed(live, () => syncFolders(all));
    return answers;
  } finally {
    for (const ready of all) letGo(taker, ready);
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

async function putInPlace(taker: Taker, accounts: Accounts, ready: Ready): Promise<boolean> {
  const { agent, live } = taker;
  const { set, tree } = live;
  const { path, sign, held, folder } = ready;
  const others = await agreedBesides(live, path);
  recordLosses(taker, ready);
  // All this takes the disk's time: a look is the last thing before the rename.
  for (let again = 0; !folder && standsAt(held) !== ready.stood && again < TRIES; again += 1) {
    await keepWhatStands(taker, ready);
    await syncKept([ready]);
    recordLosses(taker, ready);
  }
  requireAsLinked(ready);
  if (folder) ready.made = putFolder(agent.host, accounts, set, folder, held);
  else if (ready.temporary) {
    moveIn(set, path, ready.temporary, held);
    // A name that stood for this very file already leaves the other one where it was. (rename(2))
    if (ready.first === undefined) ready.temporary = undefined;
  } else if (!remove(held)) return false;
  ready.isPlaced = true;
  tellLosses(taker, ready);
  const stat = sign === undefined ? undefined : fs.lstatSync(held.place);
  noteLink(tree, path, stat);
  if (sign === undefined || !stat) {
    setHere(tree, path, nameOf(tree, path), undefined, '');
    tree.names.delete(path);
    tree.agreed.remove(path);
  } else if (ready.linked === undefined || contentOf(stat) === ready.linked) {
    // All names of a file get a new stamp with each.
    const first = ready.first === undefined ? undefined : tree.names.get(ready.first)?.here;
    if (ready.first !== undefined && first !== undefined) note(tree, ready.first, first, stat);
    note(tree, path, sign, stat);
  }
  for (const other of others) await agreeAgain(live, other);
  return true;
}

type Beside = { readonly path: string; readonly content: string };

const contentOfName = ({ host, set }: Tree, path: string): string => contentAt(placeIn(baseOf(host, set), path));

/** The other names of the file that stands there, where both servers agree on them, with what it holds. */
async function agreedBesides({ tree, lookAt }: LiveSet, path: string): Promise<Beside[]> {
  const found: Beside[] = [];
  for (const other of besides(tree, path)) {
    const content = contentOfName(tree, other);
    await lookAt(other);
    if (tree.names.get(other)?.here === tree.agreed.get(other)?.sign) found.push({ path: other, content });
  }
  return found;
}

/** A name whose file lost another name through what was just done: that is no edit. What was written into it meanwhile is. */
async function agreeAgain({ tree, lookAt }: LiveSet, { path, content }: Beside): Promise<void> {
  await lookAt(path);
  const name = tree.names.get(path);
  if (name?.here !== undefined && contentOfName(tree, path) === content)
    tree.agreed.set(path, { sign: name.here, stamp: name.stamp });
}
