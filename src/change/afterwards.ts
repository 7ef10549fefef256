import { isThere, type Root } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { hardLink, removeDurably } from '../host/writing.ts';
import { backupOf, stepOf, type TransactionId } from '../pair/tag.ts';
import { isBrought, mayGo, removeBrought } from './brought.ts';
import { type Manifest, readableJournal, transactions } from './journal.ts';
import { disarm } from './way-back.ts';
import { withdraw } from './withdraw.ts';

/**
 * Takes away what a way back needs until the end: the boot unit, then the program that set up brought. Only when the
 * last line of the journal is written: a boot before that finds the unit, and settles. Repeatable.
 * @throws CmsadmError service-failed, install-failed; the way back's timer, the next boot or recover resumes it
 */
export async function takeAway(
  host: Host,
  id: TransactionId,
  { afterwards, tag }: Manifest,
  installer?: string,
): Promise<void> {
  // Not stopped: at boot it is the one that runs this, and it ends by itself.
  await withdraw(host, 'disable', afterwards.disableUnits);
  for (const path of afterwards.removeFiles) {
    if (!isThere(host.root, path)) continue;
    if (!isThere(host.root, backupOf(path, tag))) hardLink(host.root, path, backupOf(path, tag));
    removeDurably(host.root, path);
  }
  if (afterwards.disableUnits.length > 0) await host.system.reloadUnitFiles();
  if (afterwards.removeProgram) await removeBrought(host, installer);
  // Last: until then the timer tries again what could not be done.
  await disarm(host, id);
}

/** Is there anything of what its end takes away? */
export const isLeft = (host: Host, { afterwards }: Manifest): boolean =>
  afterwards.removeFiles.some((path) => isThere(host.root, path)) || (afterwards.removeProgram && isBrought(host));

/**
 * Takes away what the end of a link left because its process died or was refused something, and a program that no link
 * keeps. The last step of whoever calls it: it may be the program that runs.
 * @param installer the folder of the package that brought it, where that is at hand
 * @throws CmsadmError as takeAway
 */
export async function takeAwayTheRest(host: Host, installer?: string): Promise<void> {
  const link = lastLink(host.root);
  if (link && isLeft(host, link.manifest) && mayGo(host)) await takeAway(host, link.id, link.manifest, installer);
  await removeBrought(host, installer);
}

/** The confirmed transaction that made or ended a link last. */
function lastLink(root: Root): { readonly id: TransactionId; readonly manifest: Manifest } | undefined {
  for (const id of transactions(root).reverse()) {
    const journal = stepOf(id) === 'link' ? readableJournal(root, id) : undefined;
    if (journal?.decision === 'confirmed') return { id, manifest: journal.manifest };
  }
  return undefined;
}
