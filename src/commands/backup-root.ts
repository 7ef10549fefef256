import * as fs from 'node:fs';
import { isWithin } from '../backup/mounts.ts';
import { CmsadmError } from '../errors.ts';
import { at } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { usage } from './context.ts';

/**
 * The root that a restore goes over, as it was typed.
 * @returns its path on this server without links, and on this machine
 * @throws CmsadmError folder-unusable, usage
 */
export function mountedRoot(host: Host, typed: string): { readonly path: string; readonly folder: string } {
  const there = at(host.root, typed.trim());
  if (!typed.trim().startsWith('/') || !fs.existsSync(`${there}/.`))
    throw new CmsadmError('folder-unusable', `${typed} is no folder.`, {
      remedy: 'Mount the root that is to be restored, and give its mount point.',
    });
  const folder = fs.realpathSync(there);
  const prefix = fs.realpathSync(host.root.prefix);
  if (!isWithin(folder, prefix)) throw usage(`${typed} leads out of this server.`, 'Give a folder of this server.');
  return { folder, path: prefix === '/' ? folder : folder.slice(prefix.length) || '/' };
}
