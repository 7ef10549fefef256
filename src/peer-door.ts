import { servePeer } from './commands/peer.ts';
import { exitCodes } from './errors.ts';
import { profileOfServer } from './profile/load.ts';
import { programRoot } from './program-root.ts';
import { hostOf, requireRoot } from './session.ts';

/**
 * The door through which the other server comes in, over SSH: one session, then the process ends.
 * @param carriedIn the private folder of a first contact
 */
export async function openToPeer(root: string, carriedIn: string | undefined): Promise<void> {
  requireRoot(root);
  // As in main: a first contact comes with 077.
  process.umask(0o022);
  const host = await hostOf(root, () => {});
  // A session outlives a lost terminal long enough to put back what it began.
  for (const signal of ['SIGHUP', 'SIGPIPE'] as const) process.on(signal, () => {});
  // Asked to leave (`unlock`, a shutdown), it ends as after a lost session.
  process.on('SIGTERM', () => process.stdin.destroy());
  const connection = process.env['SSH_CONNECTION'] ?? process.env['CMSADM_SSH_CONNECTION'] ?? '';
  const [seen = '', , address = '', port] = connection.split(' ');
  const origin = {
    carriedIn,
    ...(seen === '' ? {} : { seenFrom: seen, cameTo: { address, port: Number(port) } }),
  };
  await servePeer(host, profileOfServer(root, programRoot), origin, process.stdin, process.stdout);
  process.exit(exitCodes.done);
}
