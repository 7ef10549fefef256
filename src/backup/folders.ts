// Folders that stay get from a backup what they have besides their content: owner, mode, times, labels and lists.
import * as fs from 'node:fs';
import { CmsadmError } from '../errors.ts';
import { foldersArgv } from './archiver.ts';
import { startChild } from './child.ts';

/** Keeps what folders below `root` have, each alone, in the archive `file`. @param names latin1 text */
export async function keepFolders(root: string, names: readonly string[], file: string): Promise<void> {
  const list = `${file}.names`;
  fs.writeFileSync(list, names.map((name) => `${name}\0`).join(''), { encoding: 'latin1', mode: 0o600 });
  await attend(foldersArgv.keep(file, list), root);
  fs.unlinkSync(list);
}

/** Gives folders below `root` what they have in the archive; may be repeated. */
export const giveFolders = (root: string, file: string): Promise<void> =>
  attend(foldersArgv.give(file, process.getuid?.() === 0), root);

async function attend(argv: readonly string[], folder: string): Promise<void> {
  const child = startChild(argv, folder, ['ignore', 'ignore']);
  const exitCode = await child.ended();
  if (exitCode === 0) return;
  throw new CmsadmError('restore-failed', 'Owners, modes and times of folders could not be kept or set.', {
    file: folder,
    details: child.said().trimEnd().split('\n').slice(-5),
    remedy: 'Put right what it names, a full or read-only disk mostly, and run the command again.',
  });
}

/** Does something in a folder whose time shall not tell of it. */
export function keepingTime(folder: string, work: () => void): void {
  const before = fs.statSync(folder, { throwIfNoEntry: false });
  work();
  // As text: of a number before 1970 node makes the present.
  if (before) fs.utimesSync(folder, String(before.atimeMs / 1000), String(before.mtimeMs / 1000));
}
