import * as fs from 'node:fs';
import { join } from 'node:path';
import { CmsadmError } from '../errors.ts';
import { decompressArgv, extractArgv, literally, sortComplaints } from './archiver.ts';
import { applyAttributes, applyTimes, attributesOf } from './attributes.ts';
import { startChild } from './child.ts';
import { asCpioHasIt } from './cpio-format.ts';
import type { BackupFacts } from './facts.ts';
import { ownMembers } from './formats.ts';
import { type ArchivePlace, rewind, type Verified, verifyArchive } from './read-archive.ts';
import { inFolder, type Stage } from './stages.ts';
import { refuseIfStopped } from './stopped.ts';

/** An archive that was read through, and what a restore of it needs besides. */
export type Restorable = Verified & {
  readonly place: ArchivePlace;
  /** Files on this machine with what cpio could not hold. */
  readonly beside: { readonly attributes: string; readonly times: string };
};

/**
 * Reads an archive through, so that nothing damaged is ever restored.
 * @param scratch a folder of this machine that nobody else uses
 * @throws CmsadmError archive-damaged with the names that are
 */
export async function readForRestore(
  place: ArchivePlace,
  scratch: string,
  reading: { readonly stop: { readonly requested: boolean }; readonly progress: (bytes: number) => void },
): Promise<Restorable> {
  const beside = { attributes: join(scratch, 'attributes'), times: join(scratch, 'times') };
  for (const file of Object.values(beside)) fs.writeFileSync(file, '', { mode: 0o600 });
  const verified = await verifyArchive(place, {
    ...reading,
    content: (member, bytes) => {
      if (member.name === ownMembers.attributes) fs.appendFileSync(beside.attributes, bytes);
      else if (member.name === ownMembers.times) fs.appendFileSync(beside.times, bytes);
    },
  });
  if (verified.damaged.length === 0) return { ...verified, place, beside };
  throw new CmsadmError('archive-damaged', `${verified.facts.name} is damaged: nothing was restored.`, {
    details: verified.damaged.slice(0, 20),
    remedy: 'Use another backup: `cmsadm backup list` shows them.',
  });
}

export type ExtractJob = {
  readonly from: Restorable;
  /** The folder of this machine that stands for the root of the backup. */
  readonly into: string;
  /** Members; without, all of the part. */
  readonly names?: readonly string[];
  readonly part: Stage;
  /** What went between a full backup and its incremental one goes again. */
  readonly removes: boolean;
  readonly scratch: string;
  readonly stop: { readonly requested: boolean };
  /** Gets the process that writes: who finds this one dead ends it. */
  readonly archiver: (pid: number) => void;
};

/** Takes files out of an archive that was read through. @throws CmsadmError restore-failed, interrupted */
export async function extract(job: ExtractJob): Promise<void> {
  const { facts, place } = job.from;
  const names = job.names === undefined ? undefined : namesFile(job, facts);
  await rewind(place);
  const argv = extractArgv({
    format: facts.format,
    owners: process.getuid?.() === 0,
    incremental: facts.kind === 'incremental' && job.removes,
    part: job.part,
    ...(names === undefined ? {} : { names }),
  });
  const source = fs.openSync(place.file, 'r');
  try {
    await pour(job, argv, source, decompressArgv[facts.compression]);
  } finally {
    fs.closeSync(source);
  }
  if (facts.format !== 'cpio') return;
  if (names === undefined) emptyAgain(job);
  await addWhatCpioLacks(job);
}

/** cpio takes a part with all below it; what belongs to another part goes. */
function emptyAgain({ into, part: { at, except } }: ExtractJob): void {
  if (at === '.') return;
  for (const below of except) {
    const folder = inFolder(into, below);
    if (!fs.existsSync(folder)) continue;
    for (const name of fs.readdirSync(folder, 'buffer'))
      fs.rmSync(Buffer.concat([folder, Buffer.from('/'), name]), { recursive: true });
  }
}

/** Names as the archiver wants them: each ended by a zero byte (tar), patterns in lines (cpio). */
function namesFile({ names = [], scratch }: ExtractJob, { format }: BackupFacts): string {
  const odd = format === 'cpio' ? names.find((name) => name.includes('\n')) : undefined;
  if (odd !== undefined)
    throw new CmsadmError('name-unusable', `cpio cannot be asked for ${JSON.stringify(odd)} alone.`, {
      remedy: 'Restore the whole backup into a folder and take the file from there.',
    });
  const file = join(scratch, 'names');
  const text = names.map((name) => (format === 'cpio' ? `${literally(asCpioHasIt(name))}\n` : `${name}\0`)).join('');
  fs.writeFileSync(file, text, { encoding: 'latin1', mode: 0o600 });
  return file;
}

/** Archive → decompressor, if any → archiver. */
async function pour(
  job: ExtractJob,
  argv: readonly string[],
  source: number,
  decompress: readonly string[] | undefined,
): Promise<void> {
  const opener = decompress && startChild(decompress, '/', [source, 'pipe']);
  const child = startChild(argv, job.into, [opener ? 'pipe' : source, 'ignore']);
  job.archiver(child.pid);
  if (opener?.output && child.input) opener.output.pipe(child.input);
  const watch = setInterval(() => {
    if (!job.stop.requested) return;
    child.kill();
    opener?.kill();
  }, 100);
  try {
    const codes = [await child.ended()];
    // tar stops reading at the end mark, whatever the decompressor still has.
    opener?.kill();
    refuseIfStopped(job.stop);
    const { failures } = sortComplaints(child.said());
    if (codes[0] === 0 && failures.length === 0) return;
    throw new CmsadmError('restore-failed', `${argv[0]} could not restore everything (exit code ${codes[0]}).`, {
      details: failures.slice(0, 10),
      remedy: 'Put right what it names, a full disk mostly, and run the restore again.',
    });
  } finally {
    clearInterval(watch);
  }
}

async function addWhatCpioLacks({ from, into, names, scratch }: ExtractJob): Promise<void> {
  const chosen = names && new Set(names);
  const isWanted = (name: string): boolean => chosen?.has(name) ?? true;
  let dump = from.beside.attributes;
  if (chosen) {
    dump = join(scratch, 'chosen-attributes');
    fs.writeFileSync(dump, attributesOf(fs.readFileSync(from.beside.attributes, 'latin1'), isWanted), 'latin1');
  }
  if (fs.existsSync(dump)) await applyAttributes(into, dump);
  applyTimes(into, fs.readFileSync(from.beside.times, 'latin1'), isWanted);
}
