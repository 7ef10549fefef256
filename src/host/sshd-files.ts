import { basename, dirname, resolve } from 'node:path';
import { parse } from '../config-files/sshd-config.ts';
import { at, diskOf, list, type Root, readText } from './root.ts';

/** A file that sshd(8) reads, and when it was changed last, in milliseconds since 1970. */
export type SshdFile = { readonly path: string; readonly changedAt: number };

/** So deep may includes be nested (sshd's SERVCONF_MAX_DEPTH). */
const DEEPEST = 16;

/** The names that a pattern of Include stands for; wildcards in a folder's name are left out. (sshd_config(5), glob(7)) */
function included(root: Root, pattern: string): string[] {
  const path = resolve('/etc/ssh', pattern);
  const parts = basename(path).split(/([*?])/);
  const source = parts.map((part) => ({ '*': '.*', '?': '.' })[part] ?? part.replaceAll(/[^\w]/g, '\\$&')).join('');
  const name = new RegExp(`^(?!\\.)${source}$`);
  return list(root, dirname(path))
    .filter((one) => name.test(one))
    .map((one) => `${dirname(path)}/${one}`);
}

function pathsFrom(root: Root, path: string, depth: number): string[] {
  const text = depth > DEEPEST ? undefined : readText(root, path);
  if (text === undefined) return [];
  const patterns = parse(text).flatMap(({ keyword, values }) => (keyword === 'include' ? values : []));
  return [
    path,
    ...patterns.flatMap((pattern) => included(root, pattern)).flatMap((one) => pathsFrom(root, one, depth + 1)),
  ];
}

/**
 * When a file got its text, its owner or its name: an older one that was moved or copied into its place keeps its own
 * time of modification. A link counts, and what it leads to.
 */
function changedAt(root: Root, path: string): number {
  const place = at(root, path);
  const disk = diskOf(root);
  return Math.max(disk.lstatSync(place).ctimeMs, disk.lstatSync(disk.realpathSync(place)).ctimeMs);
}

/** The files that sshd reads: its own, and those that are included. */
export const sshdFiles = (root: Root): SshdFile[] =>
  [...new Set(pathsFrom(root, '/etc/ssh/sshd_config', 0))].map((path) => ({ path, changedAt: changedAt(root, path) }));
