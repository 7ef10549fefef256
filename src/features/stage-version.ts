import { dirname } from 'node:path';
import { isThere, type Root, readFact } from '../host/root.ts';
import { makeFolders, removeTree, rename, syncFolder, writeNew } from '../host/writing.ts';
import type { FeaturePackage } from '../packages/feature-package.ts';
import { folderName, placesOf } from './places.ts';
import type { Version } from './record.ts';
import { foldersOf } from './take-away.ts';

/** True if all files of a version are in its folder, as they came. */
const isWhole = (root: Root, folder: string, { files }: Version['manifest']): boolean =>
  changedFiles(root, folder, files).length === 0;

/** The files of a version that are not as they came. */
export const changedFiles = (
  root: Root,
  folder: string,
  files: Version['manifest']['files'],
): { readonly path: string; readonly what: 'missing' | 'edited' }[] =>
  files.flatMap(({ path, sha256 }) => {
    const fact = readFact(root, `${folder}/${path}`);
    if (fact.state === 'file' && fact.sha256 === sha256) return [];
    return [{ path: `${folder}/${path}`, what: fact.state === 'absent' ? ('missing' as const) : ('edited' as const) }];
  });

/**
 * The folder for a version: what an earlier attempt left whole is taken again, what holds something else of that name
 * (a file that was kept) is left alone.
 */
export function versionOf(root: Root, { manifest, digest }: FeaturePackage, earlier: Version | null): Version {
  const { home, version } = placesOf(manifest.name);
  const as = (folder: string): Version => ({ package: digest, folder, manifest });
  if (earlier?.package === digest && isWhole(root, version(earlier.folder), manifest)) return as(earlier.folder);
  const base = folderName(manifest.version, digest);
  for (let number = 1; ; number += 1) {
    const folder = number === 1 ? base : `${base}.${number}`;
    if (!isThere(root, `${home}/${folder}`)) return as(folder);
  }
}

/** Writes all files of a version into its folder, which appears whole, by one rename, and is on disk then. */
export function stageVersion(root: Root, { folder, manifest }: Version, { read }: FeaturePackage): void {
  const { home, version, staged } = placesOf(manifest.name);
  if (isThere(root, version(folder))) return;
  const place = staged(folder);
  removeTree(root, place);
  makeFolders(root, place);
  for (const { path, mode } of manifest.files) {
    makeFolders(root, dirname(`${place}/${path}`));
    const own = { mode: Number.parseInt(mode, 8), owner: 'root', group: 'root' };
    writeNew(root, `${place}/${path}`, read(path).toString('latin1'), own);
  }
  for (const inner of new Set(manifest.files.flatMap(({ path }) => foldersOf(path))))
    syncFolder(root, `${place}/${inner}`);
  syncFolder(root, place);
  rename(root, place, version(folder));
  syncFolder(root, home);
}
