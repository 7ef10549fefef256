import { parseEffective } from '../config-files/sshd-effective.ts';
import { type Listener, listenersOf, listenersOfSocket, portsAt } from '../config-files/sshd-listeners.ts';
import type { UnitState } from './system.ts';

/** An address and a port where SSH connections are taken. */
export type SshListener = Listener;

/** systemd.socket(5): where one of them is active, it and not sshd holds the port. */
export const sshSockets = ['ssh.socket', 'sshd.socket'] as const;

/**
 * Where SSH connections are taken now.
 * @param sshd text of `sshd -T`; undefined where sshd could not be asked
 */
export function sshListenersOf(
  sshd: string | undefined,
  units: Readonly<Record<string, UnitState>>,
): readonly SshListener[] {
  const socket = sshSockets.map((name) => units[name]).find((unit) => unit?.active);
  return socket ? listenersOfSocket(socket.listens ?? []) : listenersOf(parseEffective(sshd ?? ''));
}

/** The port at which others reach this address: 22 where that is one of them. */
export function sshPortAt(listeners: readonly SshListener[], address: string | undefined): number {
  const ports = portsAt(listeners, address ?? '0.0.0.0');
  return ports.includes(22) ? 22 : (ports[0] ?? listeners[0]?.port ?? 22);
}
