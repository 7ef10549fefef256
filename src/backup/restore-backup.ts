import * as fs from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { CmsadmError } from '../errors.ts';
import { run } from '../host/processes.ts';
import type { Host } from '../host/system.ts';
import { during, type Report } from '../report.ts';
import { type Chosen, chooseMembers, refuseHostile } from './choose-members.ts';
import { extract, type Restorable, readForRestore } from './extract.ts';
import { placeAll, planMoves } from './place-files.ts';
import { progressOf } from './progress.ts';
import type { ArchivePlace } from './read-archive.ts';
import type { Running } from './running.ts';
import { scratchFolder } from './scratch.ts';
import { refuseIfStopped } from './stopped.ts';

export type RestorePlan = {
  /** In the order in which they are restored: an incremental backup comes after its full one. */
  readonly archives: readonly ArchivePlace[];
  /** Into a new or empty folder, or over a root that is mounted; path of this machine. */
  readonly how: 'into' | 'over';
  readonly folder: string;
  /** Paths; everything without. */
  readonly paths?: readonly string[];
  /** Second names of files that are replaced end so. */
  readonly tag: string;
};

export type Restored = {
  readonly files: number;
  readonly withThem: readonly string[];
  /** Names under which what was replaced is kept. */
  readonly kept: readonly string[];
};

type Work = {
  readonly host: Host;
  readonly plan: RestorePlan;
  readonly report: Report;
  readonly stop: { readonly requested: boolean };
  readonly running: Running;
  readonly scratch: string;
};

/** Stands in a root while all of it is restored over: as long as it is there, that root is not whole. */
const unfinishedMark = '.cmsadm-restore-unfinished';

/**
 * Restores what was chosen. The archives are read through before anything is written.
 * @throws CmsadmError archive-damaged, archive-hostile, not-in-backup, restore-failed, place-taken, interrupted
 */
export async function restoreBackup(
  host: Host,
  plan: RestorePlan,
  report: Report,
  stop: { readonly requested: boolean },
  running: Running,
): Promise<Restored> {
  const work: Work = { host, plan, report, stop, running, scratch: scratchFolder(host, running) };
  const read: Restorable[] = [];
  for (const [index, place] of plan.archives.entries()) read.push(await readOne(work, place, index));
  for (const { lines } of read) refuseHostile(lines);
  refuseUnrelated(read);
  const chosen = read.map(({ lines }) => plan.paths && chooseFrom(lines, plan.paths, read.length > 1));
  if (plan.paths) requireAll(work, chosen);
  const files = plan.paths
    ? new Set(chosen.flatMap((one) => one?.names ?? [])).size
    : Math.max(...read.map(({ lines }) => lines.length));
  const kept =
    plan.how === 'into'
      ? await restoreInto(work, read, chosen)
      : plan.paths
        ? await restoreChosenOver(work, read, chosen)
        : await restoreAllOver(work, read);
  return { files, withThem: chosen.flatMap((one) => one?.withThem ?? []), kept };
}

async function readOne({ host, report, stop, scratch }: Work, place: ArchivePlace, index: number): Promise<Restorable> {
  const beside = join(scratch, String(index));
  fs.mkdirSync(beside);
  const { size } = fs.statSync(place.file);
  return during(report, `Reading ${basename(place.file)} through`, () =>
    readForRestore(place, beside, { stop, progress: progressOf(report, 'Reading', size, host.system.clock) }),
  );
}

/** @throws CmsadmError not-its-full-backup */
function refuseUnrelated(read: readonly Restorable[]): void {
  const last = read.at(-1);
  const full = read.length > 1 ? read[0] : undefined;
  if (last?.facts.of === full?.facts.name) return;
  throw new CmsadmError(
    'not-its-full-backup',
    `${last?.facts.name} stands on ${last?.facts.of ?? 'no other backup'}, and not on ${full?.facts.name ?? 'none'}.`,
    { remedy: 'Give the full backup that it stands on: --full PATH' },
  );
}

/** In one of two archives a path may be missing. */
function chooseFrom(lines: Restorable['lines'], paths: readonly string[], isOneOfTwo: boolean): Chosen {
  if (!isOneOfTwo) return chooseMembers(lines, paths);
  const there = paths.filter((path) => {
    try {
      chooseMembers(lines, [path]);
      return true;
    } catch (error) {
      if (error instanceof CmsadmError && error.code === 'not-in-backup') return false;
      throw error;
    }
  });
  return there.length === 0 ? { names: [], withThem: [] } : chooseMembers(lines, there);
}

function requireAll({ plan }: Work, chosen: readonly (Chosen | undefined)[]): void {
  if (chosen.every((one) => one?.names.length === 0))
    throw new CmsadmError('not-in-backup', `The backup has no ${plan.paths?.join(', ')}.`, {
      remedy: 'See what it has: cmsadm backup show NAME --files',
    });
}

/** Takes everything out of the archives into a folder, in their order. */
async function extractAll(
  { plan, report, stop, scratch }: Work,
  read: readonly Restorable[],
  into: string,
  names: readonly (readonly string[] | undefined)[],
): Promise<void> {
  for (const [index, from] of read.entries()) {
    const chosen = names[index];
    if (chosen?.length === 0) continue;
    await during(report, `Restoring ${from.facts.name}`, () =>
      extract({
        ...{ from, into, stop, scratch: join(scratch, String(index)) },
        // Over a root that is in use nothing is ever removed.
        removes: plan.how === 'into' && chosen === undefined,
        ...(chosen === undefined ? {} : { names: chosen }),
      }),
    );
  }
  await run(['sync', '--file-system', into], { timeout: 3_600_000 });
}

/** Names with the folders above them, where those are not there: they bring their owner and mode along. */
function withFolders(read: readonly Restorable[], chosen: readonly (Chosen | undefined)[], target: string) {
  return chosen.map((one, index) => {
    if (!one) return undefined;
    const above = new Set(one.names.flatMap(foldersAbove));
    const folders = (read[index]?.lines ?? [])
      .filter(({ name, kind }) => kind === 'folder' && above.has(name.replace(/\/$/, '')))
      .map(({ name }) => name)
      .filter((name) => !fs.existsSync(Buffer.from(`${target}/${name}`, 'latin1')));
    return [...new Set([...folders, ...one.names])];
  });
}

const foldersAbove = (name: string): string[] => {
  const parts = name.split('/');
  return parts.slice(0, -1).map((_, i) => parts.slice(0, i + 1).join('/'));
};

/** Beside the folder, which gets its name when all is there. */
async function restoreInto(
  work: Work,
  read: readonly Restorable[],
  chosen: readonly (Chosen | undefined)[],
): Promise<string[]> {
  const { folder } = work.plan;
  const staging = join(dirname(folder), `.${basename(folder)}.cmsadm-restoring`);
  begin(work, staging);
  await extractAll(work, read, staging, withFolders(read, chosen, staging));
  refuseIfStopped(work.stop);
  // An empty folder gives way (rename(2)).
  fs.renameSync(staging, folder);
  return [];
}

/** Chosen files over a root: all of them change, or none; what they replace is kept under the tag. */
async function restoreChosenOver(
  work: Work,
  read: readonly Restorable[],
  chosen: readonly (Chosen | undefined)[],
): Promise<string[]> {
  const { folder, tag } = work.plan;
  const staging = join(folder, '.cmsadm-restoring');
  begin(work, staging);
  await extractAll(work, read, staging, withFolders(read, chosen, folder));
  const moves = planMoves(staging, folder, tag);
  work.running.moves(moves);
  await placeAll(moves, () => refuseIfStopped(work.stop));
  work.running.moves([]);
  return moves.flatMap(({ kept }) => (kept === null ? [] : [kept]));
}

function begin({ running }: Work, staging: string): void {
  fs.rmSync(staging, { recursive: true, force: true });
  running.begins(staging);
  fs.mkdirSync(staging, { mode: 0o700 });
}

/** A whole system over a mounted root: it is not whole until the mark is gone, and repeating makes it so. */
async function restoreAllOver(work: Work, read: readonly Restorable[]): Promise<string[]> {
  const { folder } = work.plan;
  const mark = join(folder, unfinishedMark);
  const names = read.map(({ facts }) => facts.name).join(' and ');
  fs.writeFileSync(mark, `${names}: this root is not restored wholly; run the restore again.\n`, { mode: 0o600 });
  const handle = fs.openSync(mark, 'r');
  fs.fsyncSync(handle);
  fs.closeSync(handle);
  await extractAll(
    work,
    read,
    folder,
    read.map(() => undefined),
  );
  fs.rmSync(mark, { force: true });
  return [];
}
