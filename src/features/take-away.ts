import { dirname } from 'node:path';
import { CmsadmError } from '../errors.ts';
import { isThere, type Root, readFact } from '../host/root.ts';
import { makeFolders, removeEmptyFolder, removeIfThere, rename, replaceBy, syncFolder } from '../host/writing.ts';

/** @returns its new name */
function keepEdited(root: Root, path: string): string {
  const free = [`${path}.edited`, ...Array.from({ length: 98 }, (_, i) => `${path}.edited.${i + 2}`)].find(
    (name) => !isThere(root, name),
  );
  const kept = free ?? `${path}.edited`;
  rename(root, path, kept);
  return kept;
}

/**
 * Takes a file of ours away. One that somebody edited keeps its content under another name beside it.
 * @param ours the digests of what we may have written there
 * @returns that name
 * @throws CmsadmError file-refused for one that can't be read
 */
function takeAway(root: Root, path: string, ours: readonly string[]): string | undefined {
  removeIfThere(root, preparedFile(path));
  const fact = readFact(root, path);
  // A link or a folder that took its place is somebody else's; a file that can't be read may be ours.
  if (fact.state === 'refused' && fact.unreadable === true) throw fileRefused(path, fact.why);
  if (fact.state !== 'file') return undefined;
  if (!ours.includes(fact.sha256)) return keepEdited(root, path);
  removeIfThere(root, path);
  return undefined;
}

/** The same for single files, on disk when it returns. @returns the names under which edited ones stay */
export function takeAllAway(
  root: Root,
  folder: string,
  files: readonly { readonly path: string; readonly ours: readonly string[] }[],
): string[] {
  const kept = files.flatMap(({ path, ours }) => takeAway(root, path, ours) ?? []);
  if (isThere(root, folder)) syncFolder(root, folder);
  return kept;
}

/**
 * Takes all of our files in a folder away, and what folders are empty then.
 * @returns the names under which edited ones stay, and the folder itself where it holds what is not ours
 */
export function takeFolderAway(
  root: Root,
  folder: string,
  files: readonly { path: string; sha256: string }[],
): string[] {
  if (!isThere(root, folder)) return [];
  const kept = files.flatMap((file) => takeAway(root, `${folder}/${file.path}`, [file.sha256]) ?? []);
  const folders = new Set(files.flatMap(({ path }) => foldersOf(path)));
  // The longest names first: a folder goes before the one that it lies in.
  for (const inner of [...folders].sort((a, b) => b.length - a.length)) removeEmptyFolder(root, `${folder}/${inner}`);
  if (removeFolderDurably(root, folder)) return kept;
  // What is gone must not come back with a power cut, when nobody knows of it any more.
  for (const inner of ['', ...[...folders].map((path) => `/${path}`)])
    if (isThere(root, `${folder}${inner}`)) syncFolder(root, `${folder}${inner}`);
  return kept.length === 0 ? [folder] : kept;
}

/** Removes a folder if it is empty, so that no power cut brings it back; says whether it did. */
export function removeFolderDurably(root: Root, folder: string): boolean {
  if (!removeEmptyFolder(root, folder)) return false;
  syncFolder(root, dirname(folder));
  return true;
}

/** `a/b/c` → a/b, a */
export const foldersOf = (path: string): string[] =>
  path
    .split('/')
    .slice(0, -1)
    .map((_, index, parts) => parts.slice(0, index + 1).join('/'));

/** True if a file has just this content. */
export const hasContent = (root: Root, path: string, content: string): boolean => {
  const fact = readFact(root, path);
  return fact.state === 'file' && fact.content === content;
};

/**
 * Replaces a file of ours; the same text is no write, and what somebody else wrote is kept beside it.
 * @param ours the digests of what we may have written there
 * @returns the name under which an edited one stays
 * @throws CmsadmError file-refused for what is no file
 */
export function replaceOwn(root: Root, path: string, content: string, ours: readonly string[]): string | undefined {
  removeIfThere(root, preparedFile(path));
  const fact = readFact(root, path);
  if (fact.state === 'refused') throw fileRefused(path, fact.why);
  if (fact.state === 'file' && fact.content === content) return undefined;
  const kept = fact.state === 'file' && !ours.includes(fact.sha256) ? keepEdited(root, path) : undefined;
  writeOwn(root, path, content);
  return kept;
}

const fileRefused = (path: string, why: string): CmsadmError =>
  new CmsadmError('file-refused', `${path} ${why}.`, {
    file: path,
    remedy: 'Put it right or move it away, then run the command again.',
  });

/** The name under which a file of ours is written before it takes its place: whoever comes after a dead run finds it. */
const preparedFile = (path: string): string => `${path}.new`;

/** Writes a file of ours in one step; on disk when it returns. */
export function writeOwn(root: Root, path: string, content: string): void {
  makeFolders(root, dirname(path));
  replaceBy(root, preparedFile(path), path, content, 0o644);
}
