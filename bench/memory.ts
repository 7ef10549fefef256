import { readFileSync } from 'node:fs';
import { exec } from '../lab/lab.ts';

// A virtual machine may give its host the memory that lies free or was long unused, and ask for it again page by page: 2.4 s
// a GB where this was measured, ten times what the same memory costs a moment later. That would meet one side or the other
// as it happens.

let holes = 0;

/**
 * Leaves no memory free, right before a run, as on a server that has been up for long: fills it with the pages of a
 * file that is nothing but a hole. They are the first to be given up for what the run needs. (truncate(1))
 */
export async function fillMemory(): Promise<void> {
  holes += 1;
  const script = 'mkdir -p /srv/holes && truncate -s "$2" "/srv/holes/$1" && cat "/srv/holes/$1" >/dev/null';
  const size = String(memory('MemFree'));
  await exec('cms1', ['sh', '-c', script, 'sh', String(holes), size], { timeoutMs: 600_000 });
}

/** Bytes, of proc_meminfo(5). */
const memory = (name: string): number =>
  1024 * Number(new RegExp(`^${name}:\\s+(\\d+) kB$`, 'm').exec(readFileSync('/proc/meminfo', 'utf8'))?.[1]);
