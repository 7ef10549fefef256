import { labKey, labKnownHosts } from './furnish.ts';
import { labServers, type ServerName } from './servers.ts';
import { requireState } from './state.ts';

/**
 * The argv of ssh(1) into a server: with the lab's own key and pinned host keys, nothing of this user's own
 * configuration; as root, or as operator where the variant keeps root out. Throws `lab-down`.
 */
export function sshArgv(name: ServerName, command: readonly string[]): readonly [string, ...string[]] {
  const user = name === 'cms2' && requireState().variant === 'no-root' ? 'operator' : 'root';
  const options = [
    'IdentitiesOnly=yes',
    `UserKnownHostsFile=${labKnownHosts}`,
    'StrictHostKeyChecking=yes',
    'ConnectTimeout=5',
  ];
  const flags = options.flatMap((option) => ['-o', option]);
  return ['ssh', '-F', 'none', '-i', labKey, ...flags, '-l', user, labServers[name].address, ...command];
}
