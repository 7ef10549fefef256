import type { FileHandle } from 'node:fs/promises';
import { blockSize } from './formats.ts';

/** Writes whole blocks of an archive, the last one filled up with zeros. */
export type BlockWriter = {
  write(bytes: Buffer): Promise<void>;
  end(): Promise<void>;
  /** Bytes on their way to the disk, with those that fill up. */
  written(): number;
  /** Bytes that were given. */
  size(): number;
};

/** So many blocks go to a disk with one call. To a tape each goes alone: one call makes one block there (st(4)). */
const together = 64;

/** @param single one block with each call */
export function blockWriter(handle: FileHandle, single: boolean): BlockWriter {
  const buffer = Buffer.alloc(single ? blockSize : blockSize * together);
  let filled = 0;
  let written = 0;
  const flush = async (length: number): Promise<void> => {
    for (let at = 0; at < length; ) at += (await handle.write(buffer, at, length - at)).bytesWritten;
    written += length;
    filled = 0;
  };
  return {
    write: async (bytes) => {
      for (let at = 0; at < bytes.length; ) {
        const copied = bytes.copy(buffer, filled, at);
        at += copied;
        filled += copied;
        if (filled === buffer.length) await flush(filled);
      }
    },
    end: async () => {
      const whole = Math.ceil(filled / blockSize) * blockSize;
      buffer.fill(0, filled, whole);
      if (whole > 0) await flush(whole);
    },
    written: () => written,
    size: () => written + filled,
  };
}
