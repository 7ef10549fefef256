import * as fs from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { CmsadmError } from '../errors.ts';
import { at } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { syncFolder } from '../host/writing.ts';
import { count } from '../printable.ts';
import { during, type Report } from '../report.ts';
import { makeArgv, makeListedArgv } from './archiver.ts';
import { dumpAttributes } from './attributes.ts';
import { type CatalogueEntry, keepSnapshot, newSnapshotPath, remember, snapshotPath } from './catalogue.ts';
import { type BackupFacts, isPartOf, partOf } from './facts.ts';
import { ownMembers } from './formats.ts';
import { type Listed, listFiles, type Selection } from './listing.ts';
import { progressOf, sizeText } from './progress.ts';
import { forgetPages, rewind, verifyArchive } from './read-archive.ts';
import type { Running } from './running.ts';
import { damagedArchive } from './scan.ts';
import { scratchFolder } from './scratch.ts';
import { requireRoom, type Target } from './target.ts';
import { type Written, writeArchive } from './write-archive.ts';

/** A backup that was decided on. */
export type BackupPlan = {
  readonly facts: BackupFacts;
  readonly selection: Selection;
  readonly target: Target;
  /** Read back from the target and held against the manifest before it gets its name. */
  readonly readsBack: boolean;
  /** The full backup that an incremental one stands on, and when it was made. */
  readonly since?: { readonly name: string; readonly seconds: number };
};

export type Made = {
  readonly entry: CatalogueEntry;
  readonly meanwhile: readonly string[];
  /** Milliseconds that each part took. */
  readonly took: { readonly archive: number; readonly readBack: number };
};

type Work = {
  readonly host: Host;
  readonly plan: BackupPlan;
  readonly report: Report;
  readonly stop: { readonly requested: boolean };
  readonly running: Running;
  /** A folder of this machine, gone afterwards. */
  readonly scratch: string;
};

/**
 * Makes a backup while it is the only one that runs. Its archive has a name that nobody takes for a backup's until it is
 * whole, on the disk, and read back.
 * @throws CmsadmError no-room, too-large-for-cpio, archiver-failed, disk-full, archive-damaged, interrupted
 */
export async function makeBackup(
  host: Host,
  plan: BackupPlan,
  report: Report,
  stop: { readonly requested: boolean },
  running: Running,
): Promise<Made> {
  const work = { host, plan, report, stop, running, scratch: scratchFolder(host, running) };
  if (plan.target.kind === 'folder') removeOldParts(work);
  const listed = await during(report, 'Listing what is saved', () => listAll(work));
  await refuseUnfit(work, listed);
  const begun = host.system.elapsed();
  const { file, output } = await openTarget(work);
  let written: Written;
  try {
    written = await during(report, `Writing ${sizeText(listed.bytes)} in ${count(listed.files, 'file')}`, async () => {
      const made = await write(work, listed, output);
      await output.sync().catch(ignoreNoSync);
      return made;
    });
  } finally {
    await output.close();
  }
  const archived = host.system.elapsed();
  const seen = plan.readsBack ? await readBack(work, file, written) : null;
  const entry = await finish(work, file, written, seen);
  const took = { archive: archived - begun, readBack: host.system.elapsed() - archived };
  return { entry, meanwhile: written.meanwhile, took };
}

// A tape drive has no pages to write out; closing it does.
function ignoreNoSync(error: unknown): void {
  if (!(error instanceof Error && 'code' in error && (error.code === 'EINVAL' || error.code === 'EROFS'))) throw error;
}

function removeOldParts({ host, plan }: Work): void {
  const folder = at(host.root, plan.target.path);
  for (const name of fs.readdirSync(folder))
    if (isPartOf(name, plan.facts.server)) fs.rmSync(join(folder, name), { force: true });
}

const namesFile = ({ scratch }: Work): string => join(scratch, 'names');
const timesFile = ({ scratch }: Work): string => join(scratch, 'times');
const snapshotFile = ({ host }: Work): string => at(host.root, newSnapshotPath);

/** Of a filesystem backup with the names for the archiver; a maintenance backup's archiver finds them itself. */
function listAll(work: Work): Promise<Listed> {
  const { host, plan } = work;
  const { kind, format } = plan.facts;
  const files =
    kind === 'filesystem'
      ? { names: namesFile(work), ...(format === 'cpio' ? { times: timesFile(work) } : {}) }
      : plan.since
        ? { since: plan.since.seconds }
        : {};
  return listFiles(host.root.prefix, plan.selection, files);
}

async function refuseUnfit({ host, plan }: Work, listed: Listed): Promise<void> {
  const { format, compression } = plan.facts;
  if (format === 'cpio' && listed.tooLarge.length > 0)
    throw new CmsadmError('too-large-for-cpio', 'cpio cannot hold files of 4 GB and more.', {
      details: listed.tooLarge,
      remedy: 'Use the tar format, or leave these files out by the profile (backup, exclude).',
    });
  if (plan.target.kind === 'device') return;
  // How far it can be compressed nobody knows before: less than a half is not counted on.
  const needed = compression === 'none' ? listed.bytes : listed.bytes / 2;
  requireRoom(plan.target.path, (await host.system.disk(at(host.root, plan.target.path))).freeMb, needed);
}

async function openTarget({ host, plan, running }: Work): Promise<{ file: string; output: FileHandle }> {
  const { target, facts } = plan;
  if (target.kind === 'device') {
    const file = at(host.root, target.path);
    await rewind({ file, isTape: target.isTape });
    return { file, output: await open(file, fs.constants.O_WRONLY) };
  }
  const file = join(at(host.root, target.path), partOf(facts.name));
  running.begins(file);
  const { O_RDWR, O_APPEND, O_CREAT, O_EXCL } = fs.constants;
  return { file, output: await open(file, O_RDWR | O_APPEND | O_CREAT | O_EXCL, 0o600) };
}

async function write(work: Work, listed: Listed, output: FileHandle): Promise<Written> {
  const { host, plan, report, stop, running, scratch } = work;
  const { facts, target } = plan;
  const isListed = facts.kind === 'filesystem';
  const extras = isListed && facts.format === 'cpio' ? await besideCpio(work) : [];
  return writeArchive({
    facts,
    argv: isListed ? makeArgv[facts.format] : listedArgv(work),
    folder: host.root.prefix,
    ...(isListed ? { names: { file: namesFile(work), count: listed.files } } : {}),
    extras,
    spool: join(scratch, 'manifest'),
    output,
    isDevice: target.kind === 'device',
    stop,
    progress: progressOf(report, 'Writing', listed.bytes, host.system.elapsed),
    started: running.archiver,
  });
}

async function besideCpio(work: Work): Promise<{ name: string; file: string }[]> {
  const file = join(work.scratch, 'attributes');
  await dumpAttributes(work.host.root.prefix, namesFile(work), file);
  return [
    { name: ownMembers.attributes, file },
    { name: ownMembers.times, file: timesFile(work) },
  ];
}

/** An incremental backup works on a copy of what its full one saw: it saves all that changed since then. */
function listedArgv(work: Work): readonly string[] {
  const { host, plan } = work;
  if (plan.since) fs.copyFileSync(at(host.root, snapshotPath(plan.since.name)), snapshotFile(work));
  const { include, exclude } = plan.selection;
  const relative = (path: string): string => `.${path}`;
  const there = include.filter((path) => fs.existsSync(at(host.root, path)));
  return makeListedArgv(there.map(relative), exclude.map(relative), snapshotFile(work));
}

async function readBack(work: Work, file: string, { bytes }: Written): Promise<string> {
  const { host, plan, report, stop } = work;
  await forgetPages(file);
  const { damaged } = await during(report, `Reading ${sizeText(bytes)} back`, () =>
    verifyArchive(
      { file, isTape: plan.target.isTape },
      { stop, progress: progressOf(report, 'Reading back', bytes, host.system.elapsed) },
    ),
  );
  if (damaged.length > 0) throw damagedArchive('What was read back is not what was written.', damaged.slice(0, 20));
  return new Date(host.system.clock()).toISOString();
}

async function finish(work: Work, file: string, written: Written, verified: string | null): Promise<CatalogueEntry> {
  const { host, plan } = work;
  const { name, kind, format, compression, made, load, of } = plan.facts;
  const isDevice = plan.target.kind === 'device';
  const path = isDevice ? plan.target.path : join(plan.target.path, name);
  if (!isDevice) {
    fs.renameSync(file, at(host.root, path));
    syncFolder(host.root, plan.target.path);
  }
  if (kind === 'full') keepSnapshot(host.root, name);
  const entry: CatalogueEntry = {
    ...{ name, kind, format, compression, made, load, path, isDevice, verified },
    ...{ bytes: written.bytes, members: written.members, ...(of === undefined ? {} : { of }) },
  };
  remember(host.root, entry);
  return entry;
}
