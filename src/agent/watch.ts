import * as fs from 'node:fs';
import { at } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { orGone, placeIn } from './data-set.ts';
import { carriedBy, type DataSet } from './entry.ts';

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
 * Calls `changed` at every event in one folder, with the name in it where the kernel tells one (as latin1).
 * Undefined if it can't be watched: gone, or no watches left.
 */
export function watchFolder(
  place: Buffer | string,
  changed: (name: string | undefined) => void,
): fs.FSWatcher | undefined {
  try {
    const watcher = fs.watch(place, { persistent: false, encoding: 'buffer' }, (_event, name) =>
      changed(name?.toString('latin1')),
    );
    watcher.on('error', () => watcher.close()); // the folder went away; the comparison finds what else is so
    return watcher;
  } catch {
    return undefined; // ENOENT, ENOSPC (fs.inotify.max_user_watches): the regular comparison has to do
  }
}

export type Watches = {
  /** Watches folders that are new and forgets those that are gone; says whether there were new ones. */
  refresh(): boolean;
  close(): void;
};

/**
 * Watches every folder of a data set, one watch per folder.
 * What happened in a new folder before its watch stood has made no event: after a `true` of `refresh`, look again.
 */
export function watchDataSet(host: Host, set: DataSet, changed: () => void): Watches {
  const carried = carriedBy(set);
  // An excluded log that is written all the time must not make us scan all the time.
  const event = (folder: string) => (name: string | undefined) => {
    if (name === undefined || carried(below(folder, name))) changed();
  };
  let watched = new Map<string, fs.FSWatcher>();
  return {
    refresh: () => {
      const now = new Map<string, fs.FSWatcher>();
      let isNew = false;
      for (const { key, path, place } of foldersOf(host, set, carried)) {
        const watcher = watched.get(key) ?? watchFolder(place, event(path));
        isNew ||= !watched.has(key) && watcher !== undefined;
        if (watcher) now.set(key, watcher);
      }
      for (const [key, watcher] of watched) if (!now.has(key)) watcher.close();
      watched = now;
      return isNew;
    },
    close: () => {
      for (const watcher of watched.values()) watcher.close();
      watched.clear();
    },
  };
}

const below = (folder: string, name: string): string => (folder === '' ? name : `${folder}/${name}`);

type Folder = { readonly key: string; readonly path: string; readonly place: Buffer };

// With the inode: a folder that was removed and made again under its name wants a new watch.
function foldersOf(host: Host, set: DataSet, carried: (path: string) => boolean): Folder[] {
  const base = Buffer.from(at(host.root, set.path));
  const found: Folder[] = [];
  const visit = (path: string): void => {
    const place = placeIn(base, path);
    const stat = orGone(() => fs.lstatSync(place, { bigint: true }));
    if (!stat?.isDirectory()) return;
    found.push({ key: `${stat.dev}:${stat.ino}:${path}`, path, place });
    for (const item of orGone(() => fs.readdirSync(place, { withFileTypes: true, encoding: 'buffer' })) ?? []) {
      const inside = below(path, item.name.toString('latin1'));
      if (item.isDirectory() && carried(inside)) visit(inside);
    }
  };
  visit('');
  return found;
}
