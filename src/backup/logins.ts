import { dirname } from 'node:path';
import { isMissing, isSameFile, isThere, type Root, readText } from '../host/root.ts';
import { hardLink, makeFolders, removeIfThere, writeNew } from '../host/writing.ts';
import { places } from './places.ts';

const textOf = (name: string): string =>
  `The backup ${name} is running on this server. New log-ins are possible again when it has ended.\n`;
const isOurText = (text: string | undefined): boolean =>
  text !== undefined && text === textOf(/^The backup (\S+) is/.exec(text)?.[1] ?? '');

/**
 * Blocks new log-ins of everybody but root, by the file that pam_nologin(8) looks for. It has a second name in a folder
 * of ours, so that it is known again: whatever others put in its place is theirs.
 * @returns false where log-ins are blocked already by somebody else, whose file stays
 */
export function blockLogins(root: Root, backup: string): boolean {
  makeFolders(root, dirname(places.ownNologin), 0o700);
  makeFolders(root, dirname(places.nologin));
  unblockLogins(root);
  writeNew(root, places.ownNologin, textOf(backup), { mode: 0o644, owner: 'root', group: 'root' });
  try {
    hardLink(root, places.ownNologin, places.nologin);
    return true;
  } catch (error) {
    removeIfThere(root, places.ownNologin);
    if (isThere(root, places.nologin)) return false;
    throw error;
  }
}

/** Lets log-ins in again, if it was us who blocked them and nobody has made the file his own. @returns true if it did */
export function unblockLogins(root: Root): boolean {
  if (!isThere(root, places.ownNologin)) return false;
  const isOurs = isSame(root) && isOurText(readText(root, places.nologin));
  if (isOurs) removeIfThere(root, places.nologin);
  removeIfThere(root, places.ownNologin);
  return isOurs;
}

function isSame(root: Root): boolean {
  try {
    return isSameFile(root, places.nologin, places.ownNologin);
  } catch (error) {
    if (isMissing(error)) return false; // somebody removed it
    throw error;
  }
}

/** Who blocks log-ins now. */
export const loginsBlockedBy = (root: Root): 'nobody' | 'a backup' | 'somebody else' =>
  !isThere(root, places.nologin)
    ? 'nobody'
    : isThere(root, places.ownNologin) && isSame(root)
      ? 'a backup'
      : 'somebody else';
