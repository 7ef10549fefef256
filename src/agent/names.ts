/** A name of a data set: what it is here, what it is known to be on the other server, what both last had in common. */
export type Name = {
  here: string | undefined;
  stamp: string;
  /** What find(1) told of it when it had this stamp; empty where that is not known. */
  found: string;
  there: string | undefined;
  /** In which look at everything it was met last. */
  round: number;
};

/** The names of a data set, by path, and by the folder that they are in: nothing that concerns one folder asks them all. */
export type Names = {
  readonly size: number;
  get(path: string): Name | undefined;
  keys(): IterableIterator<string>;
  values(): IterableIterator<Name>;
  [Symbol.iterator](): IterableIterator<[path: string, name: Name]>;
  /** The name of a path; a new one, neither here nor there, if it is not known. */
  make(path: string): Name;
  delete(path: string): void;
  /** The paths directly in a folder. */
  within(folder: string): string[];
  /** The paths at any depth below a folder. */
  below(folder: string): string[];
};

export const folderOf = (path: string): string => {
  const end = path.lastIndexOf('/');
  return end === -1 ? '' : path.slice(0, end);
};

export function makeNames(): Names {
  const names = new Map<string, Name>();
  /** By folder: the paths in it that are names, or have names below them. */
  const inside = new Map<string, Set<string>>();
  const link = (path: string): void => {
    const folder = folderOf(path);
    const beside = inside.get(folder);
    if (beside) beside.add(path);
    else {
      inside.set(folder, new Set([path]));
      if (folder !== '') link(folder);
    }
  };
  const unlink = (path: string): void => {
    if (path === '' || names.has(path) || inside.has(path)) return;
    const folder = folderOf(path);
    const beside = inside.get(folder);
    beside?.delete(path);
    if (beside?.size !== 0) return;
    inside.delete(folder);
    unlink(folder);
  };
  return {
    get size() {
      return names.size;
    },
    get: (path) => names.get(path),
    keys: () => names.keys(),
    values: () => names.values(),
    [Symbol.iterator]: () => names.entries(),
    make: (path) => {
      const known = names.get(path);
      if (known) return known;
      const made = { here: undefined, stamp: '', found: '', there: undefined, round: 0 };
      names.set(path, made);
      if (path !== '') link(path);
      return made;
    },
    delete: (path) => {
      if (names.delete(path)) unlink(path);
    },
    within: (folder) => [...(inside.get(folder) ?? [])].filter((path) => names.has(path)),
    below: (folder) => {
      const found: string[] = [];
      const folders = [folder];
      for (let next = folders.pop(); next !== undefined; next = folders.pop())
        for (const path of inside.get(next) ?? []) {
          if (names.has(path)) found.push(path);
          if (inside.has(path)) folders.push(path);
        }
      return found;
    },
  };
}
