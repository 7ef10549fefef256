import { CmsadmError } from '../errors.ts';
import { list, removeIfThere } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { paths } from '../pair/state.ts';
import { releaseLock, takeLock } from './lock.ts';

/** Where a process that died may have left names of its own: they end in its pid, or hold it before `.new`. */
const places = ['/run/cmsadm', paths.state, paths.journal];

/**
 * Takes away what dead processes left: the lock, and temporary names beside the journal and the state. Nothing of a
 * living process is touched, and nothing at all while somebody holds the lock.
 */
export function tidy(host: Host): void {
  try {
    takeLock(host, { operation: 'recover', operator: 'root', startedOn: '' });
  } catch (error) {
    if (error instanceof CmsadmError && error.code === 'locked') return;
    throw error;
  }
  try {
    for (const place of places)
      for (const name of list(host.root, place))
        if (isLeftOver(host, name)) removeIfThere(host.root, `${place}/${name}`);
  } finally {
    releaseLock(host);
  }
}

function isLeftOver(host: Host, name: string): boolean {
  const found = /\.(?:decision|lock)\.(\d+)$|^lock\.(\d+)$|\.(\d+)\.new$/.exec(name);
  const pid = Number(found?.slice(1).find((part) => part !== undefined));
  return found !== null && (pid === process.pid || host.system.processStart(pid) === undefined);
}
