import { createHash, type Hash } from 'node:crypto';
import * as fs from 'node:fs';
import { CmsadmError } from '../errors.ts';
import { type DataSet, type FileEntry, shownPath } from './entry.ts';
import { type Held, moveIn, type Writer } from './place.ts';

/** A file that is growing under its temporary name. */
export type Incoming = {
  readonly set: DataSet;
  readonly path: string;
  readonly held: Held;
  readonly temporary: Buffer;
  readonly file: number;
  readonly hash: Hash;
  size: number;
};

/** Begins a file in a held folder, which is closed with the file. */
export function begin(writer: Writer, set: DataSet, path: string, held: Held): Incoming {
  const temporary = writer.temporary(held);
  const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = fs.constants;
  const file = fs.openSync(temporary, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o600);
  return { set, path, held, temporary, file, hash: createHash('sha256'), size: 0 };
}

/** Zeros are not written but left out: a file with holes arrives with holes. */
const HOLE = 65_536;

export function grow(incoming: Incoming, data: Buffer): void {
  for (let start = 0; start < data.length; start += HOLE) {
    const block = data.subarray(start, start + HOLE);
    if (block.length === HOLE && block.every((byte) => byte === 0)) continue;
    for (let done = 0; done < block.length; )
      done += fs.writeSync(incoming.file, block, done, block.length - done, incoming.size + start + done);
  }
  incoming.hash.update(data);
  incoming.size += data.length;
}

/** Gives the whole file its owner, mode and times and puts it in its place, durably. */
export function finish(writer: Writer, incoming: Incoming, entry: FileEntry): void {
  const { set, path, file, held, temporary } = incoming;
  if (entry.size !== incoming.size || entry.sha256 !== incoming.hash.copy().digest('hex'))
    throw new CmsadmError('arguments-refused', `${shownPath(path)} did not arrive as it was sent.`);
  const accounts = writer.accounts();
  // It may end with a hole.
  fs.ftruncateSync(file, incoming.size);
  if (writer.host.root.ownersCount) fs.fchownSync(file, accounts.uid(entry.owner), accounts.gid(entry.group));
  fs.fchmodSync(file, entry.mode);
  fs.futimesSync(file, entry.mtimeMs / 1000, entry.mtimeMs / 1000);
  fs.fsyncSync(file);
  moveIn(writer, set, path, temporary, held);
  fs.closeSync(file);
}

export function drop({ file, temporary }: Incoming): void {
  fs.closeSync(file);
  fs.rmSync(temporary, { force: true });
}
