/** Archives made so that the same content gives the same bytes: given order, one date, owner 0, no compression. */
import { createWriteStream } from 'node:fs';
import { rename, rm, stat } from 'node:fs/promises';
import { PassThrough, pipeline, type Readable } from 'node:stream';
import { pipeline as finished } from 'node:stream/promises';

export type ArchiveEntry = { readonly name: string; readonly data: Buffer; readonly mode: number };

// Any fixed date that DOS time (zip) can express; zip dates are written in UTC.
const date = new Date('2020-01-01T00:00:00Z');

/** Writes a zip with everything stored, beside its place, and moves it there. Returns its bytes. */
export async function writeZip(out: string, entries: readonly ArchiveEntry[]): Promise<number> {
  const unfinished = `${out}.unfinished`;
  try {
    const { ZipArchive } = await import('archiver');
    await finished(fill(new ZipArchive({ store: true }), entries), createWriteStream(unfinished));
    const { size } = await stat(unfinished);
    await rename(unfinished, out);
    return size;
  } finally {
    await rm(unfinished, { force: true });
  }
}

/** A plain tar archive (POSIX ustar). */
export async function packTar(entries: readonly ArchiveEntry[]): Promise<Readable> {
  const { TarArchive } = await import('archiver');
  return fill(new TarArchive(), entries);
}

/** A stream's content in one piece. */
export async function collect(stream: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk);
  return Buffer.concat(chunks);
}

type Archive = InstanceType<typeof import('archiver').Archiver>;

function fill(archive: Archive, entries: readonly ArchiveEntry[]): Readable {
  const out = new PassThrough();
  // An error on either side ends the other; the reader of `out` sees it.
  pipeline(archive, out, () => {});
  archive.on('warning', (warning) => archive.destroy(warning));
  for (const { name, data, mode } of entries) archive.append(data, { name, date, mode });
  archive.finalize().catch((error: Error) => archive.destroy(error));
  return out;
}
