import { existsSync } from 'node:fs';
import { CmsadmError } from '../src/errors.ts';
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
  if (linkExists(name)) await run(['ip', 'link', 'delete', name]);
}

export function linkExists(name: string): boolean {
  return existsSync(`/sys/class/net/${name}`);
}

/** Pulls the cable of a running server (`up` false) or puts it back. */
export async function setCable(name: ServerName, up: boolean): Promise<void> {
  await run(['ip', 'link', 'set', cableOf(name), up ? 'up' : 'down']);
}

/**
 * Delays and loses what goes to the server, by tc-netem(8); both 0 clears it.
 * Throws `lab-no-netem` on a kernel without it.
 */
export async function setLine(name: ServerName, line: { delayMs: number; lossPercent: number }): Promise<void> {
  const device = cableOf(name);
  await run(['tc', 'qdisc', 'delete', 'dev', device, 'root'], { reject: false });
  if (line.delayMs === 0 && line.lossPercent === 0) return;
  const netem = ['netem', 'delay', `${line.delayMs}ms`, 'loss', `${line.lossPercent}%`];
  const { exitCode, stderr } = await run(['tc', 'qdisc', 'add', 'dev', device, 'root', ...netem], { reject: false });
  if (exitCode !== 0) {
    throw new CmsadmError('lab-no-netem', `This machine's kernel can not slow a line down: ${stderr}`, {
      remedy: 'Use a kernel with CONFIG_NET_SCH_NETEM, or do without `slow`.',
    });
  }
}
