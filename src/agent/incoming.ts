import { createHash, type Hash } from 'node:crypto';
import * as fs from 'node:fs';
import { promisify } from 'node:util';
import { CmsadmError } from '../errors.ts';
import type { Accounts } from './accounts.ts';
import { type DataSet, type FileEntry, shownPath } from './entry.ts';
import type { Held, Writer } from './place.ts';

/** A file that is growing under its temporary name. */
export type Incoming = {
  readonly set: DataSet;
  readonly path: string;
  readonly held: Held;
  readonly temporary: Buffer;
  readonly file: number;
  readonly hash: Hash;
  size: number;
  /** So much of it was written to the disk already. */
  written: number;
};

/** Begins a file in a held folder, which is closed with it; also where that fails. */
export function begin(writer: Writer, set: DataSet, path: string, held: Held): Incoming {
  try {
    return beginIn(writer, set, path, held);
  } catch (error) {
    fs.closeSync(held.handle);
    throw error;
  }
}

function beginIn(writer: Writer, set: DataSet, path: string, held: Held): Incoming {
  const temporary = writer.temporary(held);
  const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = fs.constants;
  const file = fs.openSync(temporary, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o600);
  return { set, path, held, temporary, file, hash: createHash('sha256'), size: 0, written: 0 };
}

/** Zeros are not written but left out: a file with holes arrives with holes. */
const HOLE = 65_536;
const ZEROS = Buffer.alloc(HOLE);

export function grow(incoming: Incoming, data: Buffer): void {
  for (let start = 0; start < data.length; start += HOLE) {
    const block = data.subarray(start, start + HOLE);
    if (block.equals(ZEROS)) continue;
    for (let done = 0; done < block.length; )
      done += fs.writeSync(incoming.file, block, done, block.length - done, incoming.size + start + done);
  }
  incoming.hash.update(data);
  incoming.size += data.length;
}

/** From time to time; at the end of a large file everybody would wait for the disk. */
const WRITE_BACK = 8 * 1_048_576;

/** Has the disk keep up with a large file. */
export async function writeBack(incoming: Incoming): Promise<void> {
  if (incoming.size - incoming.written < WRITE_BACK) return;
  incoming.written = incoming.size;
  await fdatasync(incoming.file);
}

const fdatasync = promisify(fs.fdatasync);

/** Gives the whole file its owner, mode and times; it is not synced yet. */
export function seal(accounts: Accounts, incoming: Incoming, entry: FileEntry, ownersCount: boolean): void {
  const { path, file } = incoming;
  if (entry.size !== incoming.size || entry.sha256 !== incoming.hash.copy().digest('hex'))
    throw new CmsadmError('arguments-refused', `${shownPath(path)} did not arrive as it was sent.`);
  // It may end with a hole.
  fs.ftruncateSync(file, incoming.size);
  if (ownersCount) fs.fchownSync(file, accounts.uid(entry.owner), accounts.gid(entry.group));
  fs.fchmodSync(file, entry.mode);
  // As text: of a number before 1970 node makes the present.
  const time = String(entry.mtimeMs / 1000);
  fs.futimesSync(file, time, time);
}

/** Closes a file that is not to come, and its folder with it. */
export function drop({ file, temporary, held }: Incoming): void {
  fs.closeSync(file);
  fs.rmSync(temporary, { force: true });
  fs.closeSync(held.handle);
}
