import { dirname } from 'node:path';
import { CmsadmError } from '../errors.ts';
import { lastLines } from '../host/processes.ts';
import { runOn } from '../host/programs.ts';
import { at, isThere, type Root } from '../host/root.ts';
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

/**
 * Makes an archive of these files and folders, whole and on disk before it has its name.
 * @throws CmsadmError archive-failed
 */
export async function makeArchive(host: Host, file: string, paths: readonly string[]): Promise<void> {
  const { root } = host;
  if (isThere(root, file)) return;
  makeFolders(root, dirname(file), 0o700);
  const temporary = `${file}.new`;
  removeIfThere(root, temporary);
  await tar(host, archiveArgv(root, temporary, paths), file);
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
  const outcome = await runOn(host, ['tar', '--list', `--file=${at(host.root, file)}`], { timeout: 0 });
  if (outcome.exitCode !== 0) throw failed(file, outcome.stderr);
  const names = new Set(outcome.stdout.split('\n').map((name) => name.replace(/\/$/, '')));
  return paths.filter((path) => names.has(named([path])[0] ?? ''));
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
