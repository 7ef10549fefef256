import * as fs from 'node:fs';
import type { Host } from '../host/system.ts';
import { readAccounts } from './accounts.ts';
import { orGone } from './data-set.ts';
import type { LiveSet } from './live-set.ts';
import { holdPlace } from './place.ts';

/**
 * Looks whether this server has a version of its own of a name, one that the other server never had.
 * @param wanted the sign that is about to replace it; undefined: it is about to be removed
 * @returns its path and owner; undefined where nothing of its own is lost
 * @throws CmsadmError path-refused, data-set-missing, before anything is looked at
 */
export async function ownVersion(
  host: Host,
  { set, tree, lookAt }: LiveSet,
  path: string,
  wanted: string | undefined,
): Promise<{ readonly path: string; readonly owner: string } | undefined> {
  const held = holdPlace(host, set, path);
  try {
    await lookAt(path);
    const here = tree.names.get(path)?.here;
    if (here === undefined || here === wanted || here === tree.agreed.get(path)?.sign) return undefined;
    const stat = orGone(() => fs.lstatSync(held.place));
    return { path, owner: stat ? readAccounts(host.root).owner(stat.uid) : '' };
  } finally {
    fs.closeSync(held.handle);
  }
}
