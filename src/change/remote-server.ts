import { CmsadmError } from '../errors.ts';
import { readText } from '../host/root.ts';
import type { Session } from '../host/session.ts';
import { connectPeer, peerCommands, type Target } from '../host/ssh-client.ts';
import type { Host } from '../host/system.ts';
import { type Link, paths } from '../pair/state.ts';
import type { Server } from './server.ts';

/** A session over the pair's key with the server that the link names. @throws CmsadmError not-linked, and those of connectPeer */
export const loginToPeer = (host: Host, link: Link): Promise<Session> => login(host, link, peerCommands.session);

/** The same with the agent there. @throws CmsadmError as loginToPeer; no-greeting where no agent runs */
export const loginToAgent = (host: Host, link: Link, keepalive?: Target['keepalive']): Promise<Session> =>
  login(host, link, peerCommands.agent, keepalive);

function login(
  host: Host,
  { peer }: Link,
  command: (typeof peerCommands)[keyof typeof peerCommands],
  keepalive?: Target['keepalive'],
): Promise<Session> {
  const key = readText(host.root, paths.pairKey) ?? '';
  const target = {
    address: peer.address,
    port: peer.port,
    user: 'root',
    pins: peer.hostKeys,
    ...(keepalive ? { keepalive } : {}),
  };
  return connectPeer(host.system, target, key, command);
}

/** @throws CmsadmError version-unexpected, if another version greeted */
export function refuseOtherVersion({ greeting }: Session, version: string): void {
  if (greeting.version === version) return;
  throw new CmsadmError('version-unexpected', `cmsadm ${greeting.version} greets there, not ${version}.`, {
    remedy: 'Look where `current` in /opt/cmsadm points on both servers.',
  });
}

/**
 * The other server's functions, called over a session. The protocol number in the greeting vouches for the shape of
 * what comes back; that is why the answers are taken as they are.
 */
export function remoteServer(session: Session): Server {
  const call = (verb: keyof Server) => (args?: unknown) => session.call(verb, args) as Promise<never>;
  return {
    facts: call('facts'),
    standing: call('standing'),
    lock: call('lock'),
    unlock: call('unlock'),
    endOwner: call('endOwner'),
    key: call('key'),
    installProgram: call('installProgram'),
    removeProgram: call('removeProgram'),
    stage: call('stage'),
    arm: call('arm'),
    commit: call('commit'),
    asked: call('asked'),
    confirm: call('confirm'),
    putBack: call('putBack'),
    outcome: call('outcome'),
    recover: call('recover'),
    proveLogin: call('proveLogin'),
    tags: call('tags'),
    tag: call('tag'),
    administered: call('administered'),
    backups: call('backups'),
    prune: call('prune'),
  };
}
