import { existsSync } from 'node:fs';
import { run } from './run.ts';
import { bridge, type ServerName } from './servers.ts';

/** The outside end of a server's cable, named by systemd-nspawn. */
export function cableOf(name: ServerName): string {
  return `vb-${name}`;
}

export async function makeBridge(): Promise<void> {
  await run(['ip', 'link', 'add', 'name', bridge.name, 'type', 'bridge']);
  await run(['ip', 'address', 'add', `${bridge.address}/${bridge.prefix}`, 'dev', bridge.name]);
  await run(['ip', 'link', 'set', bridge.name, 'up']);
}

/** Removes a network device of the lab, if it is there. */
export async function removeLink(name: string): Promise<void> {
  if (!linkExists(name)) return;
  try {
    await run(['ip', 'link', 'delete', name]);
  } catch (error) {
    // A cable goes by itself with the server that it belonged to, just now maybe.
    if (linkExists(name)) throw error;
  }
}

export function linkExists(name: string): boolean {
  return existsSync(`/sys/class/net/${name}`);
}

/** Pulls the cable of a running server (`up` false) or puts it back. */
export async function setCable(name: ServerName, up: boolean): Promise<void> {
  await run(['ip', 'link', 'set', cableOf(name), up ? 'up' : 'down']);
}
