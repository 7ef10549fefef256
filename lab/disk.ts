import { mkdirSync, statfsSync } from 'node:fs';
import { serverFolders } from './guest.ts';
import { run } from './run.ts';
import type { ServerName } from './servers.ts';
import { requireState } from './state.ts';

/** Gives a server that was not furnished yet a disk of its own, in memory: it outlives power-off and goes with `discard`. */
export async function mountDisk(name: ServerName, sizeMb: number): Promise<void> {
  const { disk } = serverFolders(name);
  mkdirSync(disk, { recursive: true, mode: 0o755 });
  await run(['mount', '-t', 'tmpfs', '-o', `size=${sizeMb}m,mode=0755`, `disk-${name}`, disk]);
}

/**
 * Fills a server's disk but for so many kilobytes, in no time: the disk shrinks to what it holds. Only where `up` gave it
 * a size. Throws `lab-command-failed`.
 */
export async function fill(name: ServerName, freeKb: number): Promise<void> {
  const { disk } = serverFolders(name);
  // What is written between the look and the mount may make the new size too small: then once more, with room for as much
  // again. A program that is being unpacked fills that at once.
  for (let slack = 0; ; slack = 2 * slack + 64 * 1024) {
    const { blocks, bfree, bsize } = statfsSync(disk);
    const size = (blocks - bfree) * bsize + freeKb * 1024 + slack;
    const { exitCode } = await run(['mount', '-o', `remount,size=${size}`, disk], { reject: slack > 16 * 1024 * 1024 });
    if (exitCode === 0) return;
  }
}

/** Makes room again. */
export async function drain(name: ServerName): Promise<void> {
  await run(['mount', '-o', `remount,size=${requireState().diskMb}m`, serverFolders(name).disk]);
}
