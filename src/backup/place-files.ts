import * as fs from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { CmsadmError } from '../errors.ts';
import { run } from '../host/processes.ts';

/** One file or new folder that goes from the folder where it was staged to its place; paths of this machine. */
export type Move = {
  readonly staged: string;
  readonly to: string;
  /** Second name that what stands there now gets; null where nothing stands there. */
  readonly kept: string | null;
};

const statOf = (path: string): fs.Stats | undefined => fs.lstatSync(path, { throwIfNoEntry: false });

/**
 * What has to move so that everything staged is in its place: a folder that is there already stays, with what else is in
 * it; one that is new moves as a whole.
 * @throws CmsadmError place-taken where a folder stands in the place of a file
 */
export function planMoves(staging: string, over: string, tag: string): Move[] {
  return fs.readdirSync(staging).flatMap((name): Move[] => {
    const [staged, to] = [join(staging, name), join(over, name)];
    const [isNewFolder, there] = [statOf(staged)?.isDirectory() === true, statOf(to)];
    if (!there) return [{ staged, to, kept: null }];
    // A folder by way of a link is the folder: /bin may lead to /usr/bin.
    const isFolder = fs.statSync(to, { throwIfNoEntry: false })?.isDirectory() === true;
    if (isNewFolder && isFolder) return planMoves(staged, to, tag);
    if (there.isDirectory())
      throw new CmsadmError('place-taken', `${to} is a folder, and in the backup it is none.`, {
        remedy: 'Move it away, or restore into a folder and compare.',
      });
    return [{ staged, to, kept: `${to}.${tag}` }];
  });
}

/** Moves everything; each name changes at once from what it was to what was staged. */
export async function placeAll(moves: readonly Move[], refuseIfStopped: () => void): Promise<void> {
  for (const { staged, to, kept } of moves) {
    refuseIfStopped();
    if (kept !== null) fs.linkSync(to, kept);
    try {
      fs.renameSync(staged, to);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EXDEV')) throw error;
      await copyAcross(staged, to);
    }
  }
  for (const folder of new Set(moves.map(({ to }) => dirname(to)))) syncFolder(folder);
}

/** Its place is on another file system: a copy with everything that it has, beside the place, is renamed. */
async function copyAcross(staged: string, to: string): Promise<void> {
  const beside = join(dirname(to), `.${basename(to)}.cmsadm-restoring`);
  const { exitCode, stderr } = await run(['cp', '--archive', '--no-target-directory', '--', staged, beside], {
    timeout: 86_400_000,
  });
  if (exitCode !== 0) {
    fs.rmSync(beside, { recursive: true, force: true });
    throw new CmsadmError('restore-failed', `${to} could not be written.`, {
      details: [stderr.trim()],
      remedy: 'Make room there and run the restore again.',
    });
  }
  fs.renameSync(beside, to);
  fs.rmSync(staged, { recursive: true, force: true });
}

function syncFolder(folder: string): void {
  const handle = fs.openSync(folder, 'r');
  try {
    fs.fsyncSync(handle);
  } finally {
    fs.closeSync(handle);
  }
}

/** Undoes what was moved, newest first, wherever it ended; may be repeated. @returns how many were put back */
export function putBackMoves(moves: readonly Move[]): number {
  let count = 0;
  for (const { staged, to, kept } of moves.toReversed()) {
    const wasMoved = !statOf(staged) && statOf(to) !== undefined;
    if (kept !== null && statOf(kept)) {
      // Two names of one file: a rename would leave both (rename(2)).
      if (wasMoved) fs.renameSync(kept, to);
      else fs.unlinkSync(kept);
    } else if (kept === null && wasMoved) fs.rmSync(to, { recursive: true, force: true });
    else continue;
    if (wasMoved) count += 1;
  }
  return count;
}
