import { constants } from 'node:fs';
import { dirname } from 'node:path';
import { CmsadmError } from '../errors.ts';
import { lastLines } from '../host/processes.ts';
import { runOn } from '../host/programs.ts';
import { at, diskOf, isFolder, isThere, list, type Root } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { tarKeeps } from '../host/tar-keeps.ts';
import { makeFolders, removeIfThere, rename, settleFile, syncFolder } from '../host/writing.ts';

/** A tar has no absolute names: they are taken below the server's root. */
const named = (paths: readonly string[]): string[] => paths.map((path) => path.replace(/^\/+/, ''));

const place = (root: Root, file: string): string[] => [`--file=${at(root, file)}`, `--directory=${at(root, '/')}`];

const archiveArgv = (root: Root, file: string, paths: readonly string[]): string[] => [
  ...['tar', '--create', ...tarKeeps, ...place(root, file), '--', ...named(paths)],
];

const extractArgv = (root: Root, file: string, paths: readonly string[]): string[] => [
  ...['tar', '--extract', ...tarKeeps, '--same-permissions', ...place(root, file), '--', ...named(paths)],
];

/** How many names are there, of a file or of a folder with all below it. Sockets hold nothing, and are in no archive. */
function countNames(root: Root, path: string): number {
  if (!isThere(root, path)) return 0;
  const stat = diskOf(root).lstatSync(at(root, path));
  if (stat.isFile() || stat.isSymbolicLink()) return 1;
  if (!isFolder(root, path)) return (stat.mode & constants.S_IFMT) === constants.S_IFSOCK ? 0 : 1;
  return list(root, path).reduce((sum, name) => sum + countNames(root, `${path}/${name}`), 1);
}

/**
 * Makes an archive of these files and folders, whole and on disk before it has its name. One that lacks some of them, by
 * whatever tar was told, gets none: they are about to be removed.
 * @throws CmsadmError archive-failed
 */
export async function makeArchive(host: Host, file: string, paths: readonly string[]): Promise<void> {
  const { root } = host;
  if (isThere(root, file)) return;
  makeFolders(root, dirname(file), 0o700);
  const temporary = `${file}.new`;
  removeIfThere(root, temporary);
  await tar(host, archiveArgv(root, temporary, paths), file);
  const holds = (await namesOf(host, temporary, file)).length;
  const there = paths.reduce((sum, path) => sum + countNames(root, path), 0);
  if (holds !== there)
    throw failed(file, `It holds ${holds} names, and ${there} are there: some came or went, or tar leaves some out.`);
  settleFile(root, temporary, 0o600);
  rename(root, temporary, file);
  syncFolder(root, dirname(file));
}

/** Puts these folders of an archive back, on disk when it returns. @throws CmsadmError archive-failed */
export async function extractFrom(host: Host, file: string, paths: readonly string[]): Promise<void> {
  await tar(host, extractArgv(host.root, file, paths), file);
  const { exitCode, stderr } = await runOn(
    host,
    ['sync', '--file-system', ...paths.map((path) => at(host.root, path))],
    {
      timeout: 0,
    },
  );
  if (exitCode !== 0) throw failed(file, stderr);
}

/** Which of these files and folders an archive holds. @throws CmsadmError archive-failed */
export async function namesIn(host: Host, file: string, paths: readonly string[]): Promise<string[]> {
  const names = new Set((await namesOf(host, file)).map((name) => name.replace(/\/$/, '')));
  return paths.filter((path) => names.has(named([path])[0] ?? ''));
}

/** Every name in an archive, as tar lists them: a line for each, a line end in one is written as an escape. */
async function namesOf(host: Host, archive: string, file = archive): Promise<string[]> {
  const argv = ['tar', '--list', `--file=${at(host.root, archive)}`];
  const { exitCode, stdout, stderr } = await runOn(host, argv, { timeout: 0 });
  if (exitCode !== 0) throw failed(file, stderr);
  return stdout.split('\n').slice(0, -1);
}

async function tar(host: Host, argv: readonly string[], file: string): Promise<void> {
  const { exitCode, stderr } = await runOn(host, argv, { timeout: 0 });
  if (exitCode !== 0) throw failed(file, stderr);
}

const failed = (file: string, stderr: string): CmsadmError =>
  new CmsadmError('archive-failed', `The archive ${file} could not be worked with.`, {
    file,
    details: lastLines(stderr, 3),
    remedy: 'Make room or put right what these lines name, then run `cmsadm recover`.',
  });
