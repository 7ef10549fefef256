import { freemem } from 'node:os';
import { exec } from '../lab/lab.ts';

// A virtual machine may give its host the memory that it does not use, and ask for it again page by page: 2.4 s a GB where
// this was measured, ten times what the same memory costs a moment later. That would meet one side or the other as it happens.

const GB = 1 << 30;
/** What is left for a run: the servers, their programs, and two copies of what is carried in memory. */
const LEFT = 6 * GB;

/** Holds all memory but so much, that little can lie unused. @returns lets it go */
export function holdMemory(): () => void {
  const held = Array.from({ length: Math.max(0, Math.floor((freemem() - LEFT) / GB)) }, () => Buffer.alloc(GB, 1));
  return () => void held.splice(0);
}

/** Uses memory and gives it free, right before a run: the pages of a file that is nothing but a hole. (dd(1), nocache) */
export const warmMemory = (): Promise<unknown> =>
  exec(
    'cms1',
    [
      'sh',
      '-c',
      'cd /srv && truncate -s 4G hole && cat hole >/dev/null && dd of=hole oflag=nocache conv=notrunc count=0',
    ],
    { timeoutMs: 600_000 },
  );
