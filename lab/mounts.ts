import { readFileSync } from 'node:fs';
import { run } from './run.ts';

/** The mount points in or below a folder, the last mounted first. */
export function mountPointsBelow(folder: string): readonly string[] {
  return readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .map((line) => line.split(' ')[4] ?? '')
    .filter((point) => point === folder || point.startsWith(`${folder}/`))
    .reverse();
}

export async function unmount(point: string): Promise<void> {
  await run(['umount', point]);
}

/** Mounts `upper` over `lower` at `root`; all writes land in `upper`. */
export async function mountOverlay(folders: {
  lower: string;
  upper: string;
  work: string;
  root: string;
}): Promise<void> {
  const options = `lowerdir=${folders.lower},upperdir=${folders.upper},workdir=${folders.work}`;
  await run(['mount', '-t', 'overlay', 'overlay', '-o', options, folders.root]);
}
