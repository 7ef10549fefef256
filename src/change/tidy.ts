import { CmsadmError } from '../errors.ts';
import { isFolder, list, type Root } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { removeIfThere } from '../host/writing.ts';
import { ownFolder } from '../pair/administered.ts';
import { paths } from '../pair/state.ts';
import { releaseLock, takeLock } from './lock.ts';

/** Where a process that died may have left names of its own: they end in its pid, or hold it before `.new`. */
const placesOf = (root: Root): string[] => [...['/run/cmsadm', paths.state, paths.journal], ...below(root, ownFolder)];

const below = (root: Root, folder: string): string[] =>
  isFolder(root, folder) ? [folder, ...list(root, folder).flatMap((name) => below(root, `${folder}/${name}`))] : [];

/**
 * Takes away what dead processes left: the lock, and temporary names beside the journal and the state. Nothing of a
 * living process is touched, and nothing at all while somebody holds the lock.
 */
export function tidy(host: Host): void {
  under(host, paths.lock, () => {
    for (const place of placesOf(host.root))
      for (const name of list(host.root, place))
        if (isLeftOver(host, name)) removeIfThere(host.root, `${place}/${name}`);
    // Taken and given back, a dead process's turn is gone.
    under(host, paths.turn, () => {});
  });
}

/** Works while it holds that lock; not at all where a living process has it. */
function under(host: Host, path: string, work: () => void): void {
  try {
    takeLock(host, { operation: 'recover', operator: 'root', startedOn: '' }, path);
  } catch (error) {
    if (error instanceof CmsadmError && error.code === 'locked') return;
    throw error;
  }
  try {
    work();
  } finally {
    releaseLock(host, path);
  }
}

function isLeftOver(host: Host, name: string): boolean {
  const found = /\.(?:decision|lock)\.(\d+)$|^(?:lock|turn)\.(\d+)$|\.(\d+)\.(?:new|old)$/.exec(name);
  const pid = Number(found?.slice(1).find((part) => part !== undefined));
  return found !== null && (pid === process.pid || host.system.processStart(pid) === undefined);
}
