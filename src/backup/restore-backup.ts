import * as fs from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { CmsadmError } from '../errors.ts';
import type { Host } from '../host/system.ts';
import { during, type Report } from '../report.ts';
import { type Chosen, chooseMembers, refuseHostile } from './choose-members.ts';
import { extract, type Restorable, readForRestore } from './extract.ts';
import { mountsNow } from './mounts.ts';
import { keptNames, planMoves } from './place-files.ts';
import { place, settlePlacing } from './placing.ts';
import { progressOf } from './progress.ts';
import type { ArchivePlace } from './read-archive.ts';
import type { Running } from './running.ts';
import { pathOf } from './scan.ts';
import { scratchFolder } from './scratch.ts';
import {
  bare,
  folderOf,
  makeStage,
  membersOf,
  pointsBelow,
  refuseDivided,
  roomFor,
  type Stage,
  stageOf,
  stagesOf,
  treeOf,
} from './stages.ts';
import { refuseIfStopped } from './stopped.ts';
import { syncFolder, toDisk } from './to-disk.ts';

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
  // A restore from another system, of which this one knows nothing, may have ended half way.
  if (plan.how === 'over')
    for (const line of await settlePlacing(plan.folder)) report.warn(`Left by an earlier one: ${line}.`);
  const read: Restorable[] = [];
  for (const [index, place] of plan.archives.entries()) read.push(await readOne(work, place, index));
  for (const { lines } of read) refuseHostile(lines);
  refuseUnrelated(read);
  const chosen = read.map(({ lines }) => plan.paths && chooseFrom(lines, plan.paths, read.length > 1));
  if (plan.paths) requireAll(work, chosen);
  const files = plan.paths
    ? new Set(chosen.flatMap((one) => one?.names ?? [])).size
    : Math.max(...read.map(({ lines }) => lines.length));
  const kept = plan.how === 'into' ? await restoreInto(work, read, chosen) : await restoreOver(work, read, chosen);
  return { files, withThem: chosen.flatMap((one) => one?.withThem ?? []), kept };
}

async function readOne({ host, report, stop, scratch }: Work, place: ArchivePlace, index: number): Promise<Restorable> {
  const beside = join(scratch, String(index));
  fs.mkdirSync(beside);
  const { size } = fs.statSync(place.file);
  return during(report, `Reading ${basename(place.file)} through`, () =>
    readForRestore(place, beside, { stop, progress: progressOf(report, 'Reading', size, host.system.elapsed) }),
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

const wholeOf: Stage = { at: '.', except: [] };

/** Takes everything out of the archives into a folder, in their order. */
async function extractAll(
  { plan, report, stop, running, scratch }: Work,
  read: readonly Restorable[],
  into: string,
  names: readonly (readonly string[] | undefined)[],
  part = wholeOf,
): Promise<void> {
  const where = part.at === '.' ? '' : `, ${pathOf(part.at)}`;
  for (const [index, from] of read.entries()) {
    const chosen = names[index];
    if (chosen?.length === 0 || membersOf(part, from.lines).length === 0) continue;
    await during(report, `Restoring ${from.facts.name}${where}`, () =>
      extract({
        ...{ from, into, part, stop, scratch: join(scratch, String(index)), archiver: running.archiver },
        // Over a root that is in use nothing is ever removed.
        removes: plan.how === 'into' && chosen === undefined,
        ...(chosen === undefined ? {} : { names: chosen }),
      }),
    );
  }
  await toDisk([into]);
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
  fs.rmSync(staging, { recursive: true, force: true });
  work.running.begins(staging);
  fs.mkdirSync(staging, { mode: 0o700 });
  await extractAll(work, read, staging, withFolders(read, chosen, staging));
  refuseIfStopped(work.stop);
  // An empty folder gives way (rename(2)).
  fs.renameSync(staging, folder);
  syncFolder(dirname(folder));
  return [];
}

/**
 * Over a root all of it changes, or nothing: everything is staged on the file systems that it goes to, and then put in its
 * place. Of chosen files what they replace is kept under the tag.
 */
async function restoreOver(
  work: Work,
  read: readonly Restorable[],
  chosen: readonly (Chosen | undefined)[],
): Promise<string[]> {
  const { plan, running, report, stop } = work;
  const { folder: over } = plan;
  const names = withFolders(read, chosen, over);
  const wanted = read.map(({ lines }, index) => linesOf(lines, names[index]));
  const all = wanted.flat();
  const mounts = mountsNow();
  const stages = stagesOf(over, all, mounts);
  for (const lines of wanted) refuseDivided(lines, stages);
  await requireRoom(work, stages, all);
  running.over(over);
  for (const stage of stages) {
    running.begins(folderOf(over, stage.at));
    makeStage(over, stage);
  }
  for (const stage of stages) {
    const namesHere = names.map((some) => some?.filter((name) => stageOf(name, stages) === stage));
    await extractAll(work, read, treeOf(over, stage.at), namesHere, stage);
  }
  refuseIfStopped(stop);
  const points = pointsBelow(over, mounts);
  const saved = new Set(plan.paths ? [] : all.flatMap(({ name, kind }) => (kind === 'folder' ? [bare(name)] : [])));
  const placed = await during(report, 'Putting it in its place', () =>
    place(
      { over, tag: plan.paths ? plan.tag : null },
      stages.map((stage) => ({ at: stage.at, ...planMoves(over, stage, points) })),
      // Chosen files leave the folders that they lie in as they are; and who was not saved has nothing to give.
      { gives: (name) => saved.has(name), refuseIfStopped: () => refuseIfStopped(stop) },
    ),
  );
  return keptNames(placed);
}

function linesOf(lines: Restorable['lines'], names: readonly string[] | undefined): Restorable['lines'] {
  if (names === undefined) return lines;
  const wanted = new Set(names);
  return lines.filter(({ name }) => wanted.has(name));
}

/** The old and the new lie beside each other until all is there. @throws CmsadmError no-room */
async function requireRoom({ host, plan }: Work, stages: readonly Stage[], lines: Restorable['lines']): Promise<void> {
  for (const stage of stages) {
    const path = join(plan.folder, Buffer.from(stage.at, 'latin1').toString());
    const { freeMb } = await host.system.disk(path);
    const neededMb = Math.ceil(roomFor(membersOf(stage, lines)) / 1048576);
    if (freeMb < neededMb)
      throw new CmsadmError(
        'no-room',
        `${path} has ${freeMb} MB free, and ${neededMb} MB are restored there beside what it holds now.`,
        {
          remedy:
            'Nothing was touched. Make room, restore a part of it (--files), or make that file system anew first.',
        },
      );
  }
}
