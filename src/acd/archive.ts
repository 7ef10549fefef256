import * as fs from 'node:fs';
import { dirname } from 'node:path';
import { CmsadmError } from '../errors.ts';
import { lastLines, run } from '../host/processes.ts';
import { at, isThere, makeFolders, type Root, removeIfThere, rename, syncFolder } from '../host/root.ts';

/** Access lists, attributes and owners by number go along. (GNU tar) */
const kept = ['--acls', '--xattrs', '--numeric-owner', '--sparse'] as const;

/** A tar has no absolute names: they are taken below the server's root. */
const named = (paths: readonly string[]): string[] => paths.map((path) => path.replace(/^\/+/, ''));

const archiveArgv = (root: Root, file: string, paths: readonly string[]): string[] => [
  ...['tar', '--create', ...kept, `--file=${at(root, file)}`, `--directory=${at(root, '/')}`, '--', ...named(paths)],
];

const extractArgv = (root: Root, file: string, paths: readonly string[]): string[] => [
  ...['tar', '--extract', ...kept, '--same-permissions', `--file=${at(root, file)}`, `--directory=${at(root, '/')}`],
  ...['--', ...named(paths)],
];

/**
 * Makes an archive of these files and folders, whole and on disk before it has its name.
 * @throws CmsadmError archive-failed
 */
export async function makeArchive(root: Root, file: string, paths: readonly string[]): Promise<void> {
  if (isThere(root, file)) return;
  makeFolders(root, dirname(file), 0o700);
  const temporary = `${file}.new`;
  removeIfThere(root, temporary);
  await tar(archiveArgv(root, temporary, paths), file);
  const handle = fs.openSync(at(root, temporary), 'r+');
  try {
    fs.fchmodSync(handle, 0o600);
    fs.fsyncSync(handle);
  } finally {
    fs.closeSync(handle);
  }
  rename(root, temporary, file);
  syncFolder(root, dirname(file));
}

/** Puts these folders of an archive back. @throws CmsadmError archive-failed */
export const extractFrom = (root: Root, file: string, paths: readonly string[]): Promise<void> =>
  tar(extractArgv(root, file, paths), file);

/** Which of these files and folders an archive holds. @throws CmsadmError archive-failed */
export async function namesIn(root: Root, file: string, paths: readonly string[]): Promise<string[]> {
  const outcome = await run(['tar', '--list', `--file=${at(root, file)}`], { timeout: 0 });
  if (outcome.exitCode !== 0) throw failed(file, outcome.stderr);
  const names = new Set(outcome.stdout.split('\n').map((name) => name.replace(/\/$/, '')));
  return paths.filter((path) => names.has(named([path])[0] ?? ''));
}

async function tar(argv: readonly string[], file: string): Promise<void> {
  const { exitCode, stderr } = await run(argv, { timeout: 0 });
  if (exitCode !== 0) throw failed(file, stderr);
}

const failed = (file: string, stderr: string): CmsadmError =>
  new CmsadmError('archive-failed', `tar failed on ${file}.`, {
    file,
    details: lastLines(stderr, 3),
    remedy: 'Make room or put right what these lines name, then run `cmsadm recover`.',
  });
