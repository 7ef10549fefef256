import { isFolderSign } from './entry.ts';
import type { Tree } from './tree.ts';

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
export function workOf({ names }: Pick<Tree, 'names'>, looked?: Iterable<string>): Work {
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
    if (isFolderSign(names.get(path)?.here)) continue;
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
