import { readText } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { paths, readLink } from '../pair/state.ts';
import { unfinished } from './journal.ts';
import { lockOwner } from './lock.ts';

/** Was the program brought here by a first contact whose link is not confirmed, or has ended? */
export const isBrought = ({ root }: Host): boolean => readText(root, paths.brought) !== undefined;

/** No link needs what came with it, no change is open, and nobody else is at it. */
export function mayGo(host: Host): boolean {
  if (readLink(host.root) || unfinished(host.root).length > 0) return false;
  const owner = lockOwner(host);
  return !owner || owner.pid === process.pid;
}

/**
 * Takes the program away that a first contact brought and that no link keeps: the installer marks what it was asked to
 * bring, the link's confirmation takes the mark off, and its end puts it on again. Nothing happens where it may not go.
 * @param installer the folder of the package that brought it, where that is at hand
 * @returns whether it was taken away
 * @throws CmsadmError install-failed
 */
export async function removeBrought(host: Host, installer = `${paths.program}/templates`): Promise<boolean> {
  if (!isBrought(host) || !mayGo(host)) return false;
  await host.system.runInstaller(installer, ['--remove']);
  return true;
}
