import * as fs from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import { CmsadmError } from '../errors.ts';
import { at, type Disk, isMissing, type Root } from './root.ts';

/** Where a folder really is, as a path of the server without links. */
export type Place = {
  readonly real: string;
  /** Which folder that is (device:inode); undefined where it has to be made. */
  readonly id?: string;
};

const diskOf = (root: Root): Disk => root.disk ?? fs;
const idOf = ({ dev, ino }: { dev: number; ino: number }): string => `${dev}:${ino}`;

/**
 * Resolves the links in a folder's path, once: the plan shows and pins what comes out. Of a folder that has to be made
 * the part that is there is resolved.
 * @throws CmsadmError folder-outside for a link that leads out of this root, folder-missing for one that leads nowhere
 */
export function placeOf(root: Root, folder: string): Place {
  const disk = diskOf(root);
  try {
    const top = root.prefix === '/' ? '/' : disk.realpathSync(root.prefix);
    const real = disk.realpathSync(at(root, folder));
    const within = relative(top, real);
    if (within.startsWith('..'))
      throw new CmsadmError('folder-outside', `${folder} leads out of ${root.prefix}, to ${real}.`, { file: folder });
    return { real: join('/', within), id: idOf(disk.lstatSync(real)) };
  } catch (error) {
    if (!isMissing(error) || folder === '/') throw error;
    if (isLink(root, folder))
      throw new CmsadmError('folder-missing', `${folder} is a link to a folder that is not there.`, { file: folder });
    return { real: join(placeOf(root, dirname(folder)).real, basename(folder)) };
  }
}

function isLink(root: Root, path: string): boolean {
  try {
    return diskOf(root).lstatSync(at(root, path)).isSymbolicLink();
  } catch (error) {
    if (isMissing(error)) return false;
    throw error;
  }
}

/**
 * Works in a folder that is held open: no link that somebody swaps meanwhile can lead the work elsewhere. Every part of
 * the path is opened without following links (open(2), O_NOFOLLOW).
 * @param folder real path, without links
 * @param id which folder it must be; undefined where any will do
 * @param work gets a root whose `/` is that folder
 * @throws CmsadmError folder-moved
 */
export async function inFolder<T>(
  root: Root,
  folder: string,
  id: string | undefined,
  work: (held: Root) => T | Promise<T>,
): Promise<T> {
  const disk = diskOf(root);
  const handle = openPath(root, folder);
  const prefix = `/proc/self/fd/${handle}`;
  try {
    if (id !== undefined && idOf(disk.fstatSync(handle)) !== id) throw moved(folder);
    return await work({ ...root, prefix, accounts: root.accounts ?? root.prefix });
  } catch (error) {
    throw named(error, prefix, folder);
  } finally {
    disk.closeSync(handle);
  }
}

function openPath(root: Root, folder: string): number {
  const disk = diskOf(root);
  const flags = fs.constants.O_RDONLY | fs.constants.O_DIRECTORY;
  let handle = disk.openSync(root.prefix, flags);
  for (const part of folder.split('/').filter((one) => one !== '')) {
    const outer = handle;
    try {
      handle = disk.openSync(`/proc/self/fd/${outer}/${part}`, flags | fs.constants.O_NOFOLLOW);
    } catch (error) {
      const isLink = error instanceof Error && 'code' in error && (error.code === 'ELOOP' || error.code === 'ENOTDIR');
      throw isLink ? moved(folder) : named(error, `/proc/self/fd/${outer}`, folder);
    } finally {
      disk.closeSync(outer);
    }
  }
  return handle;
}

const moved = (folder: string): CmsadmError =>
  new CmsadmError('folder-moved', `${folder} is no longer the folder that the plan saw.`, {
    file: folder,
    remedy: 'Find out who moved it or put a link there, then run the command again.',
  });

/** The operator knows the folder by its path, not by our handle. */
function named(error: unknown, handle: string, folder: string): unknown {
  if (!(error instanceof Error) || !('path' in error) || typeof error.path !== 'string') return error;
  error.message = error.message.replaceAll(`${handle}/`, `${folder === '/' ? '' : folder}/`);
  return Object.assign(error, { path: error.path.replace(handle, folder) });
}

/** The folder and the name of a managed file, for work in its held folder. */
export const splitPath = (path: string): { folder: string; name: string } => ({
  folder: dirname(path),
  name: path.slice(path.lastIndexOf('/')),
});
