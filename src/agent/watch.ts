import * as fs from 'node:fs';
import { isSystemError, type Place } from './data-set.ts';
import { folderOf } from './names.ts';

/** Something that can be rung and waited for; a ring is not lost while nobody waits. */
export type Bell = {
  ring(): void;
  /** Waits for a ring, at most so many milliseconds. Says whether it rang. */
  wait(milliseconds: number): Promise<boolean>;
};

export function makeBell(): Bell {
  let rung = false;
  let wake: (() => void) | undefined;
  return {
    ring: () => {
      rung = true;
      wake?.();
    },
    wait: async (milliseconds) => {
      if (!rung)
        await new Promise<void>((resolve) => {
          const timer = setTimeout(resolve, milliseconds);
          wake = () => {
            clearTimeout(timer);
            resolve();
          };
        });
      wake = undefined;
      const was = rung;
      rung = false;
      return was;
    },
  };
}

/**
 * So many events at once, and some may be lost: the kernel's queue holds 16,384 (inotify(7), max_queued_events), and node
 * says nothing when it is full. It is one queue for all watches of the process, and is read to its end before the loop rests.
 */
const MANY = 6_000;
let atOnce = 0;
/** Called when events may be lost, of whichever folder. */
const whenLost = new Set<() => void>();

function countEvent(): void {
  if (atOnce === 0) setImmediate(lookForLoss);
  atOnce += 1;
}

function lookForLoss(): void {
  const isLost = atOnce > MANY;
  atOnce = 0;
  if (isLost) for (const lost of [...whenLost]) lost();
}

/**
 * Calls `changed` at every event in one folder, with the name in it where the kernel tells one (as latin1).
 * Undefined if it can't be watched: gone, or no watches left.
 * @param failed told the system's code where the folder is there and is not watched: the regular comparison has to do
 */
export function watchFolder(
  place: Place,
  changed: (name: string | undefined, event: fs.WatchEventType) => void,
  failed: (code: string) => void = () => {},
): fs.FSWatcher | undefined {
  try {
    const watcher = fs.watch(place, { persistent: false, encoding: 'buffer' }, (event, name) => {
      countEvent();
      changed(name?.toString('latin1'), event);
    });
    watcher.on('error', () => watcher.close()); // the folder went away; the comparison finds what else is so
    return watcher;
  } catch (error) {
    const code = isSystemError(error) ? error.code : String(error);
    if (!['ENOENT', 'ENOTDIR'].includes(code)) failed(code);
    return undefined;
  }
}

/** Watches on the folders of one data set, one for each. */
export type Watches = {
  /** Watches a folder, unless this very folder (by inode) is watched already. To be called before its names are read. */
  onFolder(path: string, place: Place, stat: fs.Stats): void;
  /** True if this very folder is watched; it stays so. */
  isWatched(path: string, ino: number): boolean;
  /** Of each folder that can't be watched, the system's code for why. */
  unwatched(): string[];
  /** Between these two everything is looked at: folders that were not met are no longer watched. */
  begin(): void;
  end(): void;
  close(): void;
};

/**
 * @param changed gets the folder's path in the data set and the name in it; undefined where the kernel told none
 * @param lost called where so much happened, in this data set or elsewhere, that no event may have told of some of it
 */
export function makeWatches(
  changed: (folder: string, name: string | undefined) => void,
  lost: () => void = () => {},
): Watches {
  whenLost.add(lost);
  const watched = new Map<string, { readonly ino: number; readonly watcher: fs.FSWatcher | undefined }>();
  const unwatched = new Map<string, string>();
  let met: Set<string> | undefined;
  const drop = (path: string): void => {
    unwatched.delete(path);
    watched.get(path)?.watcher?.close();
    watched.delete(path);
  };
  const isWatched = (path: string, ino: number): boolean => {
    met?.add(path);
    return watched.get(path)?.ino === ino;
  };
  return {
    isWatched,
    onFolder: (path, place, { ino }) => {
      if (isWatched(path, ino)) return;
      drop(path);
      const own = Buffer.from(place).toString('latin1').replace(/^.*\//s, '');
      const told = (name: string | undefined, event: fs.WatchEventType): void => {
        changed(path, name);
        // It is gone (node tells its own name then) and watched no longer, though a new one may have its number: on ext4 the
        // next one has. Another name that is the same as its own costs one look.
        if (event !== 'rename' || name !== own) return;
        drop(path);
        changed(folderOf(path), path === '' ? undefined : own);
      };
      const watcher = watchFolder(place, told, (code) => unwatched.set(path, code));
      // Without a watch it is tried again the next time.
      if (watcher) watched.set(path, { ino, watcher });
    },
    unwatched: () => [...unwatched.values()],
    begin: () => {
      met = new Set();
    },
    end: () => {
      for (const path of [...watched.keys(), ...unwatched.keys()]) if (met?.has(path) === false) drop(path);
      met = undefined;
    },
    close: () => {
      whenLost.delete(lost);
      for (const path of [...watched.keys()]) drop(path);
    },
  };
}
