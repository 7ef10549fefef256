import { join } from 'node:path';
import { CmsadmError, exitCodes } from '../errors.ts';
import { inFolder, splitPath } from '../host/held-folder.ts';
import { type FileFact, isFolder, isSameFile, isThere, type Root, readFact } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { hardLink, removeDurably, removeEmptyFolder, removeIfThere, rename, syncFolder } from '../host/writing.ts';
import { backupOf, type Tag, type TransactionId } from '../pair/tag.ts';
import { decide, type Manifest, note, readJournal, realEntry, type State } from './journal.ts';
import { switchBack } from './program.ts';
import { reloadBack } from './reload-back.ts';
import { stagedName, unstage } from './stage.ts';
import { inTurn } from './turn.ts';
import { disarm } from './way-back.ts';
import { withdraw } from './withdraw.ts';

/** What a way back did, and what it left to a person. */
export type PutBack = {
  readonly files: readonly string[];
  /** Files that somebody edited meanwhile, and where that edit is kept. */
  readonly edited: readonly string[];
  /** Files that were never replaced and that somebody edited meanwhile: left as he made them. */
  readonly left: readonly string[];
  /** Units that a person must restart. */
  readonly leftToDo: readonly string[];
};

/**
 * Puts a change back: files newest first, then the services that read them. Repeatable; a failing step does not stop
 * the others, all failures are told at the end.
 * @param by `operator`: a person is there, so service-affecting units are restarted; `itself`: they are left and named
 * @throws CmsadmError confirmed-already, put-back-incomplete
 */
export async function putBack(host: Host, id: TransactionId, by: 'operator' | 'itself'): Promise<PutBack> {
  const { manifest } = readJournal(host.root, id);
  if (decide(host.root, id, 'put-back') === 'confirmed')
    throw new CmsadmError('confirmed-already', `${id} is confirmed on this server; restore its tag instead.`, {
      remedy: 'cmsadm config_HA restore',
    });
  return inTurn(host, manifest, () => putBackNow(host, id, by));
}

async function putBackNow(host: Host, id: TransactionId, by: 'operator' | 'itself'): Promise<PutBack> {
  const journal = readJournal(host.root, id);
  const { manifest, states, running, enabled } = journal;
  // What was put back belongs to the administrator again.
  if (states.includes('put-back')) return { files: [], edited: [], left: [], leftToDo: journal.leftToDo };
  const problems: string[] = [];
  const live = states.includes('committing');
  const { enable, start } = manifest.services;
  const own = [...enable, ...start];
  const disabled = own.filter((unit) => !enabled.includes(unit));
  // Only what commit started: the boot unit, which may be the one that runs this, is just enabled.
  const stopped = start.filter((unit) => !running.includes(unit));
  if (live) await attempt(problems, () => withdraw(host, 'disable', disabled));
  if (live) await attempt(problems, () => withdraw(host, 'stop', stopped));
  const { files, edited, left } = states.includes('files-back')
    ? { ...journal, files: [] }
    : await filesBack(host, id, journal, problems);
  const { program } = manifest;
  if (live && program) await attempt(problems, async () => switchBack(host.root, program));
  const leftToDo = live ? await servicesBack(host, manifest, { running, enabled }, by, problems) : [];
  const enabledAgain = own.filter((unit) => enabled.includes(unit));
  const startedAgain = start.filter((unit) => running.includes(unit));
  if (live) await attempt(problems, () => host.system.control('enable', enabledAgain));
  if (live && by === 'operator') await attempt(problems, () => host.system.control('restart', startedAgain));
  // At boot a unit that is ordered after us would be waited for, and wait for us: `start` queues it only.
  if (live && by === 'itself') await attempt(problems, () => host.system.control('try-restart', startedAgain));
  if (live && by === 'itself') await attempt(problems, () => host.system.control('start', startedAgain));
  // An agent that a broken program ended is not running, so nothing above has started it again.
  if (live && program) await attempt(problems, () => host.system.control('start', running));
  if (problems.length > 0)
    throw new CmsadmError('put-back-incomplete', `Not everything of ${id} could be put back.`, {
      details: problems,
      exitCode: exitCodes.needsPerson,
      remedy: 'Remove the cause (disk, permissions), then run `cmsadm recover`.',
    });
  unstage(host, manifest.files.map(realEntry), manifest.tag);
  for (const folder of [...manifest.madeFolders].reverse()) removeEmptyFolder(host.root, folder);
  note(host.root, id, 'put-back', host.system.clock(), { leftToDo, byItself: by === 'itself' });
  // Last: until then the timer tries again what could not be done.
  await disarm(host, id);
  return { files, edited, left, leftToDo };
}

/** Puts the files back and notes it: from then on they are the administrator's again, and no repetition touches them. */
async function filesBack(
  host: Host,
  id: TransactionId,
  { manifest, states }: Pick<ReturnType<typeof readJournal>, 'manifest' | 'states'>,
  problems: string[],
): Promise<Pick<PutBack, 'files' | 'edited' | 'left'>> {
  const files: string[] = [];
  const edited: string[] = [];
  const left: string[] = [];
  const refused: string[] = [];
  for (const file of [...manifest.files].reverse()) {
    try {
      const { outcome, kept } = await putBackFile(host.root, file, manifest, states);
      if (outcome === 'restored') files.push(file.path);
      if (outcome === 'left') left.push(file.path);
      if (kept !== undefined) edited.push(kept);
    } catch (error) {
      refused.push(`${file.path}: ${error instanceof Error ? error.message : String(error)}`);
    }
  }
  const noted = async (): Promise<void> => note(host.root, id, 'files-back', host.system.clock(), { edited, left });
  if (refused.length === 0) await attempt(refused, noted);
  problems.push(...refused);
  return { files, edited, left };
}

type FileOutcome = {
  readonly outcome: 'untouched' | 'restored' | 'left';
  /** Where an edit that had to give way is kept. */
  readonly kept?: string;
};

async function putBackFile(
  root: Root,
  file: Manifest['files'][number],
  manifest: Manifest,
  states: readonly State[],
): Promise<FileOutcome> {
  const { folder, name } = splitPath(realEntry(file));
  const live = states.includes('committing');
  if (!isFolder(root, folder)) {
    if (file.before === null || !live) return { outcome: 'untouched' };
    throw new Error(`its folder ${folder} is gone`);
  }
  return inFolder(root, folder, undefined, (held) => {
    const backup = backupOf(name, manifest.tag);
    const replaced = live && isReplaced(held, file, name, manifest.tag, states.includes('committed'));
    if (!replaced) return notReplaced(held, file, name, backup);
    if (file.before !== null && !isThere(held, backup))
      throw new Error(`its backup ${backupOf(file.path, manifest.tag)} is gone`);
    const now = factOf(held, name);
    const isOurs = now.state === 'absent' || (now.state === 'file' && now.sha256 === file.after);
    const kept = isOurs ? undefined : keepEdited(held, name, backup);
    if (file.before === null) removeIfThere(held, name);
    else rename(held, backup, name);
    syncFolder(held, '/');
    return { outcome: 'restored', ...(kept === undefined ? {} : { kept: join(folder, kept) }) };
  });
}

// What can't be read can't be judged: it waits for a person.
function factOf(held: Root, name: string): FileFact {
  const fact = readFact(held, name);
  if (fact.state === 'refused' && fact.why.startsWith('cannot be read'))
    throw new Error(`${name.slice(1)} ${fact.why}`);
  return fact;
}

/**
 * True if the new file took the place of the old one; told by the names that commit makes and takes in turn.
 * @param isCommitted every file was replaced
 */
function isReplaced(
  held: Root,
  file: Manifest['files'][number],
  name: string,
  tag: Tag,
  isCommitted: boolean,
): boolean {
  const now = factOf(held, name);
  const found = now.state === 'file' ? now.sha256 : null;
  const isStaged = isThere(held, stagedName(name, tag));
  if (file.before === null)
    return isStaged ? found !== null && isSameFile(held, stagedName(name, tag), name) : found !== null;
  const backup = backupOf(name, tag);
  if (!isThere(held, backup)) {
    // Where a file was to go and no backup tells that commit took it, somebody else did, which ended that commit.
    if (file.after === null) return isCommitted && found === null;
    return !isStaged && found === file.after && found !== file.before;
  }
  if (isStaged) return false;
  return now.state === 'absent' || !isSameFile(held, backup, name);
}

/** Not ours yet: as it was, or as the administrator made it meanwhile. */
function notReplaced(held: Root, file: Manifest['files'][number], name: string, backup: string): FileOutcome {
  const now = factOf(held, name);
  const isAsBefore = file.before === null ? now.state === 'absent' : now.state === 'file' && now.sha256 === file.before;
  // A backup is then only a second name of the file itself, or of what the administrator has replaced by the same.
  const isSecondName = isThere(held, backup) && (isAsBefore || isSameName(held, name, backup));
  if (isSecondName) removeDurably(held, backup);
  return { outcome: isAsBefore ? 'untouched' : 'left' };
}

const isSameName = (held: Root, name: string, backup: string): boolean =>
  isThere(held, name) && isSameFile(held, name, backup);

/** A name that is free, however often somebody edited between two attempts. */
function keepEdited(held: Root, name: string, backup: string): string {
  for (let number = 1; ; number += 1) {
    const kept = number === 1 ? `${backup}.edited` : `${backup}.edited-${number}`;
    if (isThere(held, kept)) continue;
    hardLink(held, name, kept);
    return kept;
  }
}

async function attempt(problems: string[], work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    problems.push(error instanceof CmsadmError ? [error.message, ...error.details].join(' / ') : String(error));
  }
}

async function servicesBack(
  host: Host,
  manifest: Manifest,
  { running, enabled }: { readonly running: readonly string[]; readonly enabled: readonly string[] },
  by: 'operator' | 'itself',
  problems: string[],
): Promise<string[]> {
  const { services } = manifest;
  const mayRestart = services.restart.filter((unit) => by === 'operator' || !services.affecting.includes(unit));
  await attempt(problems, () => host.system.reloadUnitFiles());
  await attempt(problems, () => reloadBack(host, services.reload, running, by));
  // A unit that failed on the new configuration, and those that went down with it, would not be tried again.
  const again = by === 'operator' ? mayRestart.filter((unit) => running.includes(unit)) : [];
  await attempt(problems, () => host.system.control('restart', again));
  await attempt(problems, () =>
    host.system.control(
      'try-restart',
      mayRestart.filter((unit) => !again.includes(unit)),
    ),
  );
  const stopped = (units: readonly string[]): string[] => services.stop.filter((unit) => units.includes(unit));
  await attempt(problems, () => host.system.control('enable', stopped(enabled)));
  await attempt(problems, () => host.system.control('start', stopped(running)));
  return services.restart.filter((unit) => !mayRestart.includes(unit));
}
