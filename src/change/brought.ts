import { readText } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { paths, readLink } from '../pair/state.ts';
import { unfinished } from './journal.ts';
import { lockOwner } from './lock.ts';

/** Was the program brought here by a first contact whose link is not confirmed? */
const isBrought = ({ root }: Host): boolean => readText(root, paths.brought) !== undefined;

/**
 * Takes the program away that a first contact brought and that no link keeps: the installer marks what it was asked to
 * bring, and the link's confirmation takes the mark off. Nothing happens while a change is open, or somebody is at it.
 * @param installer the folder of the package that brought it, where that is at hand
 * @returns whether it was taken away
 * @throws CmsadmError install-failed
 */
export async function removeBrought(host: Host, installer = `${paths.program}/templates`): Promise<boolean> {
  if (!isBrought(host) || readLink(host.root) || unfinished(host.root).length > 0) return false;
  const owner = lockOwner(host);
  if (owner && owner.pid !== process.pid) return false;
  await host.system.runInstaller(installer, ['--remove']);
  return true;
}
