import type { FileHandle } from 'node:fs/promises';

const pieceSize = 1024 * 1024;
/** Milliseconds until more is looked for. */
const pause = 20;

/**
 * The bytes of a file while somebody else writes it, until he has ended. So the archiver writes to the disk itself, as
 * fast as by hand, and we read from memory what it wrote a moment ago. Each piece is only valid until the next.
 * @param from where in the file it begins
 * @param hasEnded asked before each look: what is there when it says yes is all
 */
export async function* follow(handle: FileHandle, hasEnded: () => boolean, from: number): AsyncGenerator<Buffer> {
  const buffer = Buffer.allocUnsafe(pieceSize);
  let at = from;
  for (;;) {
    const wasEnded = hasEnded();
    const { bytesRead } = await handle.read(buffer, 0, pieceSize, at);
    at += bytesRead;
    if (bytesRead > 0) yield buffer.subarray(0, bytesRead);
    if (bytesRead === 0 && wasEnded) return;
    if (bytesRead < pieceSize && !wasEnded) await new Promise((resolve) => setTimeout(resolve, pause));
  }
}
