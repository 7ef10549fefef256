import * as fs from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { CmsadmError } from '../errors.ts';
import { run } from '../host/processes.ts';
import { decompressArgv } from './archiver.ts';
import { through } from './child.ts';
import { type BackupFacts, parseFacts } from './facts.ts';
import { type Compression, compressionOf, type FormatName, formatOf, formats, ownMembers } from './formats.ts';
import { type ManifestLine, type ManifestReader, readManifest } from './manifest.ts';
import { damagedArchive, type Member, pathOf, type ReadMember, scan } from './scan.ts';
import { refuseIfStopped } from './stopped.ts';

/** An archive as it lies on this machine. */
export type ArchivePlace = { readonly file: string; readonly isTape: boolean };

/** What reading an archive through found. */
export type Verified = {
  readonly facts: BackupFacts;
  /** Every member but the manifest. */
  readonly lines: readonly ManifestLine[];
  /** Paths of members that are not as they were written, or not there. */
  readonly damaged: readonly string[];
};

export type Reading = {
  readonly stop: { readonly requested: boolean };
  /** Gets the bytes of the file that were read so far. */
  readonly progress?: (bytes: number) => void;
  /** Gets the content of the members that a restore needs. */
  readonly content?: (member: Member, bytes: Buffer) => void;
};

const pieceSize = 1024 * 1024;

/** @throws CmsadmError mt-missing, program-failed */
export async function rewind({ file, isTape }: ArchivePlace): Promise<void> {
  if (!isTape) return;
  const { exitCode, stderr } = await run(['mt', '-f', file, 'rewind'], { timeout: 600_000 });
  if (exitCode === 0) return;
  throw new CmsadmError('tape-refused', `The tape in ${file} cannot be rewound.`, {
    details: [stderr.trim()],
    remedy: exitCode === 127 ? 'Install mt (package mt-st).' : 'Is there a tape in the drive?',
  });
}

/** Pieces of an open file. Where nothing keeps them, all come in one buffer: each is valid until the next. */
async function* piecesOf(
  handle: FileHandle,
  head: Buffer,
  isKept: boolean,
  tick: (bytes: number) => void,
): AsyncGenerator<Buffer> {
  yield head;
  let seen = head.length;
  const one = Buffer.allocUnsafe(pieceSize);
  for (;;) {
    const buffer = isKept ? Buffer.allocUnsafe(pieceSize) : one;
    const { bytesRead } = await handle.read(buffer, 0, pieceSize, null);
    seen += bytesRead;
    tick(seen);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

type Opened = {
  readonly format: FormatName;
  readonly compression: Compression;
  readonly pieces: AsyncGenerator<Buffer>;
  readonly close: () => Promise<void>;
};

/** The archive's own bytes, without compression. @throws CmsadmError archive-damaged for what is none */
async function openArchive(place: ArchivePlace, tick: (bytes: number) => void): Promise<Opened> {
  await rewind(place);
  const handle = await open(place.file, 'r');
  try {
    const buffer = Buffer.alloc(pieceSize);
    const { bytesRead } = await handle.read(buffer, 0, pieceSize, null);
    const head = buffer.subarray(0, bytesRead);
    const compression = compressionOf(buffer);
    if (compression === undefined) throw damagedArchive(`${place.file} begins like no backup.`);
    const argv = decompressArgv[compression];
    const source = piecesOf(handle, head, argv !== undefined, tick);
    const plain = argv ? through(argv, source) : source;
    const first = await plain.next();
    const begin: Buffer = first.done ? Buffer.alloc(0) : first.value;
    const format = begin.length < 512 ? undefined : formatOf(begin);
    if (format === undefined) throw damagedArchive(`${place.file} begins like no backup.`);
    return { format, compression, pieces: chain(begin, plain), close: () => handle.close() };
  } catch (error) {
    await handle.close();
    throw error;
  }
}

async function* chain(first: Buffer, rest: AsyncGenerator<Buffer>): AsyncGenerator<Buffer> {
  try {
    yield first;
    yield* rest;
  } finally {
    await rest.return(undefined);
  }
}

/** The facts of an archive from its beginning; undefined where it is no backup of ours. */
export async function readFactsOf(place: ArchivePlace): Promise<BackupFacts | undefined> {
  try {
    const opened = await openArchive(place, () => undefined);
    try {
      return await factsFrom(opened);
    } finally {
      await opened.close();
    }
  } catch (error) {
    if (error instanceof CmsadmError && ['archive-damaged', 'program-failed'].includes(error.code)) return undefined;
    throw error;
  }
}

async function factsFrom({ format, pieces }: Opened): Promise<BackupFacts | undefined> {
  let text = '';
  let isRead = false;
  const scanned = scan(formats[format].read(), {
    member: () => {
      isRead = true;
    },
    content: (member, bytes) => {
      if (member.name === ownMembers.facts && !isRead) text += bytes.toString();
    },
  });
  for await (const piece of pieces) {
    scanned.push(piece);
    if (isRead) return parseFacts(text);
  }
  return undefined;
}

/**
 * Reads an archive from its beginning to its end and holds every member against the manifest.
 * @throws CmsadmError archive-damaged where it is not whole, interrupted
 */
export async function verifyArchive(place: ArchivePlace, reading: Reading): Promise<Verified> {
  const opened = await openArchive(place, reading.progress ?? (() => undefined));
  const members: ReadMember[] = [];
  const lost: string[] = [];
  let factsText = '';
  let facts: BackupFacts | undefined;
  let manifest: ManifestReader | undefined;
  const scanned = scan(formats[opened.format].read(), {
    member: (member) => {
      if (member.name === ownMembers.facts) facts ??= parseFacts(factsText);
      if (member.name !== ownMembers.manifest) members.push(member);
    },
    content: (member, bytes) => {
      if (member.name === ownMembers.facts && facts === undefined) factsText += bytes.toString();
      else if (member.name === ownMembers.manifest && facts) {
        manifest ??= readManifest(facts.name);
        manifest.push(bytes);
      } else reading.content?.(member, bytes);
    },
    damaged: (what) => void lost.push(what),
  });
  try {
    for await (const piece of opened.pieces) {
      refuseIfStopped(reading.stop);
      scanned.push(piece);
      if (scanned.end() !== undefined) break;
    }
    scanned.finish();
  } catch (error) {
    if (error instanceof CmsadmError && error.code === 'program-failed')
      throw damagedArchive(`Its ${opened.compression} data is damaged, ${afterLast(members)}.`, error.details);
    throw error;
  } finally {
    await opened.close();
  }
  if (!facts) throw damagedArchive('Its first member does not tell what it is.');
  if (!manifest) throw damagedArchive(`Its manifest is missing, ${afterLast(members)}.`, lost.slice(0, 10));
  const lines = manifest.finish();
  return { facts, lines, damaged: compare(lines, members) };
}

const afterLast = (members: readonly ReadMember[]): string => {
  const last = members.at(-1);
  return last ? `after ${pathOf(last.name)}` : 'at its beginning';
};

/** So many members are looked at to find one again after a damage. */
const window = 1000;

/** Paths that the manifest has and the archive has not as it was written; and what only the archive has. */
function compare(lines: readonly ManifestLine[], members: readonly ReadMember[]): string[] {
  const damaged: string[] = [];
  let next = 0;
  for (const line of lines) {
    if (members[next]?.digest === line.digest) {
      next += 1;
      continue;
    }
    const ahead = members.slice(next, next + window).findIndex(({ digest }) => digest === line.digest);
    if (ahead !== -1) {
      next += ahead + 1;
      continue;
    }
    damaged.push(pathOf(line.name));
    if (members[next]?.name === line.name) next += 1;
  }
  return [...damaged, ...members.slice(next).map(({ name }) => `${pathOf(name)} (not in the manifest)`)];
}

/** What was just written is to come from the disk, not from memory: its pages are given up (dd's manual, nocache). */
export async function forgetPages(file: string): Promise<void> {
  if (fs.statSync(file).isFile()) await run(['dd', `if=${file}`, 'iflag=nocache', 'count=0', 'status=none']);
}
