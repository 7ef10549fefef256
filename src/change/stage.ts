import { basename, dirname, join } from 'node:path';
import { CmsadmError } from '../errors.ts';
import { inFolder, splitPath } from '../host/held-folder.ts';
import { at, isFolder, missingFolders, type Ownership, readFact, readText, stampOf } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { makeFolders, removeDurably, removeEmptyFolder, syncFolder, writeNew, writeNewLike } from '../host/writing.ts';
import { isAdministered } from '../pair/administered.ts';
import { managedFiles } from '../pair/managed-files.ts';
import { paths } from '../pair/state.ts';
import { backupOf, type Tag, type TransactionId } from '../pair/tag.ts';
import type { OsFamily, Profile } from '../profile/schema.ts';
import { type Change, type FileChange, realPath } from './change.ts';
import { beginJournal, forget, manifestOf, note } from './journal.ts';
import { judgeStaged } from './judges.ts';
import { refuseOtherProgram } from './program.ts';
import type { Part } from './transitions.ts';
import { thisProcess } from './worker.ts';

/** The new content, complete and on disk, beside the file that it will replace. */
export const stagedName = (path: string, tag: Tag): string => join(dirname(path), `.${basename(path)}.${tag}.staged`);

/**
 * Prepares a change without touching anything live: checks that every file is still what the plan saw, writes the new
 * contents beside their targets with their final mode and owner, and lets the programs that read them judge them.
 * @param generated the content of a file that this server makes itself (its pair key)
 * @returns the transaction's id, the files that no program could judge, and the stamps of the files to be replaced, for
 * commit
 * @throws CmsadmError file-changed, file-refused, path-refused, judged-bad; nothing is left behind then, or the transaction
 * stays open
 */
export async function stage(
  host: Host,
  profile: Profile,
  family: OsFamily,
  change: Change,
  part: Part,
  generated: (path: string) => string,
): Promise<{ id: TransactionId; unjudged: string[]; stamps: Stamps }> {
  refuseForeignPaths(change, profile, family);
  const stamps: Stamps = new Map();
  for (const file of change.files) stamps.set(file.path, await refuseIfChanged(host, file, change));
  if (change.program) refuseOtherProgram(host.root, change.program);
  const written = change.files.filter(({ after }) => after !== null);
  const made = [...new Set(written.flatMap((file) => missingFolders(host.root, dirname(realPath(file)))))];
  let begun: TransactionId | undefined;
  try {
    // First what tells of them, then the folders: a run that dies leaves none that nobody knows of.
    const id = beginJournal(
      host.root,
      manifestOf(change, part, host.system.clock(), made, generated, thisProcess(host)),
    );
    begun = id;
    for (const file of written)
      makeFolders(host.root, dirname(realPath(file)), dirname(file.path) === '/root/.ssh' ? 0o700 : 0o755);
    const outcomes = await Promise.allSettled(
      change.files.map((file) => writeStaged(host, file, change.tag, generated)),
    );
    for (const one of outcomes) if (one.status === 'rejected') throw one.reason;
    const unjudged = await judgeStaged(host, change, (file) => at(host.root, stagedName(realPath(file), change.tag)));
    note(host.root, id, 'staged', host.system.clock());
    return { id, unjudged, stamps };
  } catch (error) {
    // What stands there under a tag that was used before is not ours to take away.
    if (begun !== undefined) leaveNothing(host, change, made, begun);
    throw error;
  }
}

/** Takes away what a stage that failed has made. If any of it stays, the journal stays too, for a put back to settle. */
function leaveNothing(host: Host, change: Change, made: readonly string[], id: TransactionId): void {
  let isLeft = false;
  const attempt = (work: () => void): void => {
    try {
      work();
    } catch {
      isLeft = true; // why the stage failed is the error to tell
    }
  };
  for (const file of change.files) attempt(() => unstage(host, [realPath(file)], change.tag));
  for (const folder of [...made].reverse()) attempt(() => removeEmptyFolder(host.root, folder));
  if (!isLeft) attempt(() => forget(host.root, id));
}

/** Takes away what stage wrote. */
export function unstage(host: Host, files: readonly string[], tag: Tag): void {
  for (const path of files) removeDurably(host.root, stagedName(path, tag));
}

// A peer's verbs write only what this server's own table names.
function refuseForeignPaths(change: Change, profile: Profile, family: OsFamily): void {
  const known = new Set(managedFiles(profile, family).map((row) => row.path));
  const foreign = [...change.files.map((file) => file.path), ...change.afterwards.removeFiles].filter(
    (path) => !known.has(path) && !(change.step === 'administration' && isAdministered(profile, path)),
  );
  if (foreign.length > 0)
    throw new CmsadmError(
      'path-refused',
      `The profile "${profile.name}" of ${change.server} does not manage ${foreign.join(', ')}.`,
      {
        server: change.server,
        remedy: `Use the same profile on both servers (${paths.settings}).`,
      },
    );
}

/** What a file was stamped with when its successor was made ready; undefined where there was none. By path. */
export type Stamps = Map<string, string | undefined>;

/**
 * @returns the file's stamp
 * @throws CmsadmError file-changed, file-refused, folder-moved, tag-taken
 */
async function refuseIfChanged(host: Host, file: FileChange, change: Change): Promise<string | undefined> {
  const { folder, name } = splitPath(realPath(file));
  if (!isFolder(host.root, folder)) {
    if (file.before === null) return undefined; // it is made when the new file is staged
    throw changedSince(file, change, 'is gone');
  }
  return inFolder(host.root, folder, file.folder?.id, (held) => {
    const stamp = stampOf(held, name);
    const now = readFact(held, name);
    if (now.state === 'refused')
      throw new CmsadmError('file-refused', `${file.path} on ${change.server} ${now.why}.`, {
        server: change.server,
        file: file.path,
        remedy: 'Make it a regular file that root may write.',
      });
    const found = now.state === 'file' ? now.sha256 : null;
    if (found !== file.before) throw changedSince(file, change, 'is no longer what the plan saw');
    if (now.state === 'file' && file.was && !sameOwnership(now, file.was))
      throw changedSince(file, change, 'has another mode or owner than the plan saw');
    if (readText(held, backupOf(name, change.tag)) !== undefined)
      throw new CmsadmError('tag-taken', `${backupOf(file.path, change.tag)} exists.`, {
        server: change.server,
        remedy: 'Start again.',
      });
    return stamp;
  });
}

/**
 * Looks once more, before anything is replaced: minutes may lie between stage and now. The successor has the access
 * list and attributes that the file had then, so none of it may have changed.
 * @throws CmsadmError as refuseIfChanged
 */
export async function refuseIfTouched(host: Host, change: Change, stamps: Stamps): Promise<void> {
  for (const file of change.files)
    if ((await refuseIfChanged(host, file, change)) !== stamps.get(file.path))
      throw changedSince(file, change, 'was touched after its successor was made ready');
}

export const changedSince = (file: FileChange, change: Change, how: string): CmsadmError =>
  new CmsadmError('file-changed', `${file.path} on ${change.server} ${how}.`, {
    server: change.server,
    file: file.path,
    remedy: 'Run the command again: it makes a new plan from the file as it is now.',
  });

const sameOwnership = (one: Ownership, other: Ownership): boolean =>
  one.mode === other.mode && one.owner === other.owner && one.group === other.group;

async function writeStaged(host: Host, file: FileChange, tag: Tag, generated: (path: string) => string): Promise<void> {
  const { after } = file;
  if (!after) return;
  const content = file.generated ? generated(file.path) : after.content;
  const { folder, name } = splitPath(realPath(file));
  const like = file.like === undefined ? (file.before === null ? undefined : name) : splitPath(file.like).name;
  await inFolder(host.root, folder, file.folder?.id, async (held) => {
    const staged = stagedName(name, tag);
    if (like === undefined) writeNew(held, staged, content, after);
    else
      await writeNewLike(held, staged, content, after, (made) =>
        host.system.cloneAttributes(at(held, like).replace('/self/', `/${process.pid}/`), made),
      );
    syncFolder(held, '/');
  });
}
