import * as fs from 'node:fs';
import type { FileHandle } from 'node:fs/promises';
import { CmsadmError } from '../errors.ts';
import { count } from '../printable.ts';
import { compressArgv, goneAmong, sortComplaints } from './archiver.ts';
import { type BlockWriter, blockWriter } from './blocks.ts';
import { type Child, feed, startChild, through } from './child.ts';
import { earlySync } from './early-sync.ts';
import { type BackupFacts, printFacts } from './facts.ts';
import { follow } from './follow.ts';
import { type ArchiveFormat, blockSize, formats, ownMembers } from './formats.ts';
import { type ManifestSpool, spoolManifest } from './manifest.ts';
import { type Scan, scan } from './scan.ts';
import { refuseIfStopped } from './stopped.ts';

/** All that the making of one archive needs; paths are of this machine. */
export type ArchiveJob = {
  readonly facts: BackupFacts;
  /** The archiver, and the folder that it works in. */
  readonly argv: readonly string[];
  readonly folder: string;
  /** The names for its input: the file that they stand in, and how many there are. */
  readonly names?: { readonly file: string; readonly count: number };
  /** Further members of our own, by name, with the files that hold their content. */
  readonly extras: readonly { readonly name: string; readonly file: string }[];
  /** Where the manifest grows. */
  readonly spool: string;
  /** Open for reading and appending (a file) or for writing (a device). */
  readonly output: FileHandle;
  readonly isDevice: boolean;
  readonly stop: { readonly requested: boolean };
  /** Gets the bytes that the archiver has written so far. */
  readonly progress: (bytes: number) => void;
  /** Gets the archiver's process. */
  readonly started: (pid: number) => void;
};

export type Written = {
  readonly bytes: number;
  readonly members: number;
  /** What the archiver said of files that went or changed while it read. */
  readonly meanwhile: readonly string[];
};

/**
 * Makes the archive: facts, what the archiver writes, extras, manifest.
 * @throws CmsadmError archiver-failed, disk-full, interrupted; what was written then is no whole archive
 */
export async function writeArchive(job: ArchiveJob): Promise<Written> {
  const manifest = spoolManifest(job.spool, job.facts.name);
  try {
    const isDirect = job.facts.compression === 'none' && !job.isDevice;
    return await (isDirect ? writeDirectly(job, manifest) : writeThrough(job, manifest));
  } catch (error) {
    throw told(error);
  } finally {
    manifest.discard();
  }
}

/** The archiver writes to the disk itself; we follow it. */
async function writeDirectly(job: ArchiveJob, manifest: ManifestSpool): Promise<Written> {
  const begun = await bytesOf(leading(job, manifest));
  await job.output.appendFile(begun);
  const scanned = scanOf(job, manifest);
  const child = startChild(job.argv, job.folder, [job.names === undefined ? 'ignore' : 'pipe', job.output.fd]);
  const early = earlySync(() => job.output.datasync());
  const meanwhile = await attended(job, child, async () => {
    for await (const piece of follow(job.output, child.hasEnded, begun.length)) {
      scanned.push(piece);
      early.note(scanned.seen());
      job.progress(scanned.seen());
    }
  }).finally(early.settled);
  scanned.finish();
  refuseLeftOut(job, manifest, meanwhile);
  const end = begun.length + (scanned.end() ?? 0);
  // Whole blocks stay; what is left of the last one is written again with what follows.
  const whole = end - (end % blockSize);
  const rest = Buffer.alloc(end - whole);
  await job.output.read(rest, 0, rest.length, whole);
  await job.output.truncate(whole);
  const writer = blockWriter(job.output, false);
  await writer.write(rest);
  for await (const piece of closing(job, manifest)) await writer.write(piece);
  await writer.end();
  return { bytes: whole + writer.written(), members: manifest.count(), meanwhile };
}

/** What the archiver writes comes to us, goes through the compressor if there is one, and out in blocks. */
async function writeThrough(job: ArchiveJob, manifest: ManifestSpool): Promise<Written> {
  const child = startChild(job.argv, job.folder, [job.names === undefined ? 'ignore' : 'pipe', 'pipe']);
  const compress = compressArgv[job.facts.compression];
  const whole = wholeArchive(job, manifest, child);
  const writer = blockWriter(job.output, job.isDevice);
  const meanwhile = await attended(job, child, async () => {
    for await (const piece of compress ? through(compress, whole) : whole) await writer.write(piece);
  });
  return { bytes: await endOf(writer, job), members: manifest.count(), meanwhile };
}

// A compressed file ends where it ends; a tape has whole blocks, and what reads it ignores zeros behind the end.
async function endOf(writer: BlockWriter, { output, isDevice, facts }: ArchiveJob): Promise<number> {
  const size = writer.size();
  await writer.end();
  if (facts.compression === 'none' || isDevice) return writer.written();
  await output.truncate(size);
  return size;
}

async function* wholeArchive(job: ArchiveJob, manifest: ManifestSpool, child: Child): AsyncGenerator<Buffer> {
  yield* leading(job, manifest);
  const scanned = scanOf(job, manifest);
  if (!child.output) throw new Error('its output was asked for');
  yield* upToEnd(child.output, scanned, () => job.progress(scanned.seen()));
  scanned.finish();
  // On a device the manifest makes it whole: it comes last of all.
  refuseLeftOut(job, manifest, judge(job.argv[0] ?? '', await child.ended(), child.said()));
  yield* closing(job, manifest);
}

/** A header may lie across two pieces: so much is held back until it is known not to be the end mark. */
const heldBack = 4096;

async function* upToEnd(source: AsyncIterable<Buffer>, scanned: Scan, tick: () => void): AsyncGenerator<Buffer> {
  let held: Buffer = Buffer.alloc(0);
  let sent = 0;
  for await (const piece of source) {
    scanned.push(piece);
    tick();
    if (scanned.end() !== undefined && sent >= (scanned.end() ?? 0)) continue; // zeros behind the end mark
    held = Buffer.concat([held, piece]);
    const ready = held.length - heldBack;
    if (scanned.end() !== undefined || ready <= 0) continue;
    yield held.subarray(0, ready);
    sent += ready;
    held = held.subarray(ready);
  }
  yield held.subarray(0, Math.max(0, (scanned.end() ?? sent) - sent));
}

/** Feeds the archiver, waits for it and judges what it said; ends it when the operator asks to stop. */
async function attended(job: ArchiveJob, child: Child, work: () => Promise<void>): Promise<readonly string[]> {
  job.started(child.pid);
  const watch = setInterval(() => {
    if (job.stop.requested) child.kill();
  }, 100);
  const feeding =
    child.input && job.names !== undefined ? feed(child.input, fs.createReadStream(job.names.file)) : Promise.resolve();
  try {
    await Promise.all([feeding, work()]);
    refuseIfStopped(job.stop);
    return judge(job.argv[0] ?? '', await child.ended(), child.said());
  } catch (error) {
    child.kill();
    refuseIfStopped(job.stop);
    await child.ended();
    // What went wrong first is what the archiver itself complains of.
    if (sortComplaints(child.said()).failures.length > 0) judge(job.argv[0] ?? '', 127, child.said());
    throw error;
  } finally {
    clearInterval(watch);
  }
}

function judge(program: string, exitCode: number, said: string): readonly string[] {
  const { meanwhile, failures } = sortComplaints(said);
  if (failures.length === 0 && (exitCode === 0 || (exitCode <= 2 && meanwhile.length > 0))) return meanwhile;
  if (/No space left on device|Wrote only/.test(said)) throw diskFull();
  throw new CmsadmError('archiver-failed', `${program} could not save everything (exit code ${exitCode}).`, {
    details: failures.slice(0, 10),
    remedy: 'Put right what it names, or leave it out by the profile (backup, exclude), and run the backup again.',
  });
}

/** Every name that was given is a member, after the facts, or it was told that it went. */
function refuseLeftOut({ argv, names }: ArchiveJob, manifest: ManifestSpool, meanwhile: readonly string[]): void {
  const missing = (names?.count ?? 0) - (manifest.count() - 1) - goneAmong(meanwhile);
  if (missing <= 0) return;
  throw new CmsadmError('archiver-failed', `${argv[0]} left out ${count(missing, 'file')} and did not say which.`, {
    remedy: 'Look for what makes it do so (a wrapper of it, perhaps), and run the backup again.',
  });
}

const diskFull = (cause?: unknown): CmsadmError =>
  new CmsadmError('disk-full', 'The target is full: nothing that looks like a backup is left there.', {
    remedy: 'Make room (`cmsadm backup prune`), or give another target.',
    cause,
  });

const told = (error: unknown): unknown =>
  error instanceof Error && 'code' in error && error.code === 'ENOSPC' ? diskFull(error) : error;

const formatOf = ({ facts }: ArchiveJob): ArchiveFormat => formats[facts.format];

const scanOf = (job: ArchiveJob, manifest: ManifestSpool): Scan =>
  scan(formatOf(job).read(), {
    member: manifest.add,
    damaged: (what) => {
      throw new CmsadmError('archiver-failed', `The archiver wrote what is no ${job.facts.format} archive: ${what}.`, {
        remedy: 'Look for a broken archiver or disk on this server.',
      });
    },
  });

/** A member of our own, noted in the manifest like any other. */
async function* ownMember(
  job: ArchiveJob,
  manifest: ManifestSpool | undefined,
  member: { readonly name: string; readonly size: number; readonly content: AsyncIterable<Buffer> },
): AsyncGenerator<Buffer> {
  const format = formatOf(job);
  const noted = manifest && scanOf(job, manifest);
  const seconds = Math.trunc(Date.parse(job.facts.made) / 1000);
  const header = format.header(member.name, member.size, seconds);
  const padding = format.padding(member.size);
  noted?.push(header);
  yield header;
  for await (const piece of member.content) {
    noted?.push(piece);
    yield piece;
  }
  noted?.push(padding);
  yield padding;
}

async function* leading(job: ArchiveJob, manifest: ManifestSpool): AsyncGenerator<Buffer> {
  const content = Buffer.from(printFacts(job.facts));
  yield* ownMember(job, manifest, { name: ownMembers.facts, size: content.length, content: pieces(content) });
}

async function* closing(job: ArchiveJob, manifest: ManifestSpool): AsyncGenerator<Buffer> {
  for (const { name, file } of job.extras)
    yield* ownMember(job, manifest, { name, size: fs.statSync(file).size, content: fs.createReadStream(file) });
  const size = manifest.end();
  yield* ownMember(job, undefined, { name: ownMembers.manifest, size, content: manifest.pieces() });
  yield formatOf(job).end();
}

async function* pieces(content: Buffer): AsyncGenerator<Buffer> {
  yield content;
}

async function bytesOf(parts: AsyncIterable<Buffer>): Promise<Buffer> {
  const all: Buffer[] = [];
  for await (const part of parts) all.push(part);
  return Buffer.concat(all);
}
