import type { Host } from '../host/system.ts';
import { readAccounts, renamedSince } from './accounts.ts';
import { openAgreed } from './agreed.ts';
import type { DataSet } from './entry.ts';
import { lookAtLinks } from './linked-files.ts';
import { changedFolders, lookAll, lookAt } from './look.ts';
import { makeTree, type Tree } from './tree.ts';
import { makeWatches } from './watch.ts';

/** A data set that is watched: its tree, and what happened since it was last looked at. */
export type LiveSet = {
  readonly set: DataSet;
  readonly tree: Tree;
  /** When the oldest event came that nobody has dealt with yet (performance.now): the wall clock may jump meanwhile. */
  since(): number | undefined;
  /** True if events came since the last look, or some may be lost. */
  isDirty(): boolean;
  /** True if events told of names other than these, and none is known to be lost. */
  hasOthers(than: ReadonlySet<string>): boolean;
  /**
   * Looks at what events told of.
   * @param except names that are left for the next look
   * @returns the names that were looked at; undefined: all of them
   */
  look(except?: ReadonlySet<string>): Promise<ReadonlySet<string> | undefined>;
  /** Looks at everything. @param step told the number of names seen */
  lookAll(step?: (seen: number) => void): Promise<void>;
  /** The very first look at everything begins now; the next `lookAll` has it, if it comes soon. */
  lookEarly(): void;
  /** Looks at one name. */
  lookAt(path: string): Promise<void>;
  /** Whether new files are read only when they are sent: on the server that sends. */
  setLazy(lazy: boolean): void;
  /** Has everything looked at the next time. @param from since when something waits, where the look before forgot it */
  again(from?: number): void;
  /** How many names are known to differ, or may do so by what events told. */
  waiting(): number;
  /** True once everything was looked at, or is being, since it was not lazy: from then on events tell of each edit. */
  isKnown(): boolean;
  /** What is here may be anything until everything was looked at once more. */
  startOver(): void;
  /** Notes folders whose stamp is new: in them something came or went, with an event or without. */
  touchChangedFolders(): void;
  /** Names to be looked at again, as if an event had told of them. */
  touch(paths: Iterable<string>): void;
  /** Of each folder that can't be watched, the system's code for why: what changes there is found late. */
  unwatched(): string[];
  close(): void;
};

/** Milliseconds for which an early look stands for the next one: what changed since, events tell. */
const RECENT = 5_000;

/** @param ring called at each event that matters, with the path where it is known */
export function openLiveSet(host: Host, set: DataSet, ring: (path?: string) => void): LiveSet {
  const tree = makeTree(host, set, openAgreed(host.root, set.name));
  let dirty = new Set<string>();
  let all = true;
  let since: number | undefined;
  const heard = (path: string): void => {
    dirty.add(path);
    since ??= performance.now();
    ring(path);
  };
  const again = (from?: number): void => {
    all = true;
    if (from !== undefined) since = Math.min(since ?? from, from);
    ring();
  };
  const waiting = (): number => {
    const waits = new Set(dirty);
    if (tree.compared) for (const [path, { here, there }] of tree.names) if (here !== there) waits.add(path);
    return waits.size;
  };
  /** Something may wait that nobody knows of. */
  const lost = (): void => {
    since ??= performance.now();
    again();
  };
  const watches = makeWatches((folder, name) => {
    if (name === undefined) all = true;
    const path = folder === '' ? (name ?? '') : `${folder}/${name ?? ''}`;
    // An excluded log that is written all the time must not make us look all the time.
    if (path !== '' && tree.carried(path)) heard(path);
    else if (all) ring();
  }, lost);
  const forget = (): void => {
    dirty = new Set();
    since = undefined;
  };
  let looking = Promise.resolve();
  let isLookedAt = false;
  let known = false;
  let early: { readonly done: Promise<void>; readonly at: number } | undefined;
  /** One after the other: what one has not met yet, the other must not take for gone. */
  const everything = (step?: (seen: number) => void): Promise<void> => {
    isLookedAt = true;
    const looked = looking.then(() => lookAround(step));
    looking = looked.catch(() => {});
    return looked;
  };
  const lookAround = async (step?: (seen: number) => void): Promise<void> => {
    const accounts = readAccounts(host.root);
    forget();
    all = false;
    const before = known;
    known = true;
    tree.isRenamed = renamedSince(tree.agreed.accounts(), accounts);
    watches.begin();
    try {
      await lookAll(tree, watches, step);
      await lookAtLinks(tree);
      tree.agreed.setAccounts(accounts.text());
      tree.isRenamed = undefined;
    } catch (error) {
      all = true;
      known = before;
      throw error;
    } finally {
      watches.end();
    }
  };
  const startOver = (): void => {
    all = true;
    known = false;
    early = undefined;
  };
  const lookAtNames = async (names: Iterable<string>): Promise<ReadonlySet<string>> => {
    const seen = await lookAt(tree, names, watches);
    return new Set([...seen, ...(await lookAtLinks(tree))]);
  };
  return {
    set,
    tree,
    since: () => since,
    isDirty: () => all || dirty.size > 0,
    hasOthers: (than) => !all && [...dirty].some((path) => !than.has(path)),
    look: async (except = new Set()) => {
      if (all) {
        await everything();
        return undefined;
      }
      const names = [...dirty].filter((path) => !except.has(path));
      const left = [...dirty].filter((path) => except.has(path));
      forget();
      for (const path of left) dirty.add(path);
      try {
        return await lookAtNames(names);
      } catch (error) {
        all = true;
        throw error;
      }
    },
    lookAll: (step) => {
      const recent = early;
      early = undefined;
      return recent && performance.now() - recent.at < RECENT ? recent.done : everything(step);
    },
    lookEarly: () => {
      if (isLookedAt) return;
      const done = everything();
      // Who asks for it hears of what went wrong.
      done.catch(() => {});
      early = { done, at: performance.now() };
    },
    lookAt: async (path) => void (await lookAtNames([path])),
    setLazy: (lazy) => {
      if (tree.lazy && !lazy) startOver();
      tree.lazy = lazy;
    },
    isKnown: () => known,
    startOver,
    again,
    waiting,
    touchChangedFolders: () => {
      for (const path of changedFolders(tree)) heard(path);
    },
    touch: (paths) => {
      for (const path of paths) heard(path);
    },
    unwatched: watches.unwatched,
    close: watches.close,
  };
}
