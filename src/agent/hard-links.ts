import type * as fs from 'node:fs';

/**
 * Names of a data set that are names of one file (hard links). The first of them, in the order of bytes, is carried as a
 * file; the others as further names of it. Whatever changes one of them, or which they are, changes all their stamps.
 */
export type HardLinks = {
  /** By file: the names that were seen there while it had several, here or elsewhere. */
  readonly groups: Map<FileId, Set<string>>;
  readonly files: Map<string, FileId>;
  /** Files with a name that is not as before. */
  readonly stale: Set<FileId>;
};

/** Inode and device: a file system that is mounted in a data set, or a snapshot there, has the same inodes for other files. */
export type FileId = `${number}:${number}`;
export const fileIdOf = ({ ino, dev }: fs.Stats): FileId => `${ino}:${dev}`;

type Linked = { readonly links: HardLinks };

export const makeHardLinks = (): HardLinks => ({ groups: new Map(), files: new Map(), stale: new Set() });

/** Notes what a name stands for now. To be called with each name that is looked at; undefined: nothing is there. */
export function noteLink({ links }: Linked, path: string, stat: fs.Stats | undefined): void {
  const { groups, files, stale } = links;
  const now = stat?.isFile() && stat.nlink > 1 ? fileIdOf(stat) : undefined;
  const before = files.get(path);
  if (before === now) return;
  if (before !== undefined) {
    groups.get(before)?.delete(path);
    stale.add(before);
    files.delete(path);
  }
  if (now === undefined) return;
  files.set(path, now);
  const group = groups.get(now);
  if (group) group.add(path);
  else groups.set(now, new Set([path]));
  // The others have one more beside them.
  stale.add(now);
}

/** The other names of the same file in this data set, in the order of bytes. */
export function besides({ links }: Linked, path: string): string[] {
  const file = links.files.get(path);
  return file === undefined ? [] : [...(links.groups.get(file) ?? [])].filter((other) => other !== path).sort();
}

/** The name that a file is carried under, if that is another one. */
export function firstOf(tree: Linked, path: string): string | undefined {
  const [first] = besides(tree, path);
  return first !== undefined && first < path ? first : undefined;
}
