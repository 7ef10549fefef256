import { dirname } from 'node:path';
import type { Host } from '../host/system.ts';
import { append, makeFolders } from '../host/writing.ts';
import { printable } from '../printable.ts';

/** Writes one line to the log of backups. @param file as the profile names it */
export function logBackup(host: Host, file: string, text: string): void {
  makeFolders(host.root, dirname(file));
  const at = new Date(host.system.clock()).toISOString();
  append(host.root, file, `${at} [${process.pid}] ${Buffer.from(printable(text)).toString('latin1')}\n`);
}
