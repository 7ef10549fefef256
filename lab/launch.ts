import { spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { join } from 'node:path';
import { makeGroups } from './cgroups.ts';
import { identify, type ProcessId } from './processes.ts';
import type { ServerName } from './servers.ts';

/**
 * Starts a program that outlives this one, in the control groups of a server, its output going to a file.
 * Returns undefined when it ended at once; the file then says why.
 */
export function launch(name: ServerName, argv: readonly string[], outputFile: string): ProcessId | undefined {
  const output = openSync(outputFile, 'w', 0o600);
  const launcher = join(import.meta.dirname, 'files/in-cgroups.sh');
  const child = spawn('/bin/sh', [launcher, ...makeGroups(name), '--', ...argv], {
    detached: true,
    stdio: ['ignore', output, output],
  });
  closeSync(output);
  child.unref();
  return child.pid === undefined ? undefined : identify(child.pid);
}
