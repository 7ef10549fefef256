import * as fs from 'node:fs';
import { at } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { makeFolders } from '../host/writing.ts';
import { places } from './places.ts';
import type { Running } from './running.ts';

/** A folder of this machine for what is only needed while a backup or a restore runs; gone with it. */
export function scratchFolder(host: Host, running: Running): string {
  makeFolders(host.root, places.catalogue, 0o700);
  const folder = at(host.root, places.scratch);
  running.begins(folder);
  // Only one works at a time: what is there is left from a machine that went down.
  fs.rmSync(folder, { recursive: true, force: true });
  fs.mkdirSync(folder, { mode: 0o700 });
  return folder;
}
