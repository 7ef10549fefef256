import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CmsadmError } from '../src/errors.ts';
import { cableOf, removeLink } from './cable.ts';
import { serverFolders } from './guest.ts';
import { launch } from './launch.ts';
import { end, isAlive, type ProcessId, waitUntil } from './processes.ts';
import { run } from './run.ts';
import { bridge, type ServerName } from './servers.ts';

/** How slow and how lossy the way to a server is; zeroes for the line as it is. */
export type Line = { readonly delayMs: number; readonly lossPercent: number };

/** The patch cable between the relay and the bridge: the bridge's end, and the relay's. */
function patchOf(name: ServerName): { readonly bridgeEnd: string; readonly relayEnd: string } {
  return { bridgeEnd: `sl-${name}`, relayEnd: `sr-${name}` };
}

/**
 * Delays and loses what goes to a running server: by tc-netem(8), or on a kernel without it by a relay between cable and
 * bridge, whose process is returned. `relay` is the one of before. Throws `lab-relay-failed`.
 */
export async function setLine(
  name: ServerName,
  line: Line,
  relay: ProcessId | undefined,
): Promise<ProcessId | undefined> {
  const cable = cableOf(name);
  await removeRelay(name, relay);
  await run(['ip', 'link', 'set', cable, 'master', bridge.name, 'arp', 'on']);
  await run(['tc', 'qdisc', 'delete', 'dev', cable, 'root'], { reject: false });
  if (line.delayMs === 0 && line.lossPercent === 0) return undefined;
  const netem = ['netem', 'delay', `${line.delayMs}ms`, 'loss', `${line.lossPercent}%`];
  const { exitCode } = await run(['tc', 'qdisc', 'add', 'dev', cable, 'root', ...netem], { reject: false });
  return exitCode === 0 ? undefined : startRelay(name, line);
}

/** Takes a server's relay away, if there is one. */
export async function removeRelay(name: ServerName, relay: ProcessId | undefined): Promise<void> {
  if (relay !== undefined) await end([relay]);
  // Both ends of the patch cable go together.
  await removeLink(patchOf(name).bridgeEnd);
}

async function startRelay(name: ServerName, line: Line): Promise<ProcessId> {
  const cable = cableOf(name);
  const { bridgeEnd, relayEnd } = patchOf(name);
  await run(['ip', 'link', 'add', 'name', bridgeEnd, 'type', 'veth', 'peer', 'name', relayEnd]);
  for (const device of [relayEnd, cable]) {
    // Only the relay is to see these frames: this machine must not answer for its own address on them.
    writeFileSync(`/proc/sys/net/ipv6/conf/${device}/disable_ipv6`, '1');
    await run(['ip', 'link', 'set', device, 'arp', 'off', ...(device === cable ? ['nomaster'] : ['up'])]);
  }
  await run(['ip', 'link', 'set', bridgeEnd, 'master', bridge.name, 'up']);
  return spawnRelay(name, [cable, relayEnd, String(line.delayMs), String(line.lossPercent)]);
}

/** Starts the relay and waits until it passes frames. It runs in the server's control group: it goes when that is cleared. */
async function spawnRelay(name: ServerName, args: readonly string[]): Promise<ProcessId> {
  const log = join(serverFolders(name).top, 'relay.log');
  const failed = () =>
    new CmsadmError('lab-relay-failed', `The line of ${name} can't be slowed down.`, {
      details: readFileSync(log, 'utf8').trim().split('\n'),
      remedy: 'The relay needs the Debian package perl; a kernel with netem needs no relay.',
      file: log,
    });
  const relay = launch(name, [join(import.meta.dirname, 'files/slow-line.pl'), ...args], log);
  if (relay === undefined) throw failed();
  await waitUntil(
    () => {
      if (!isAlive(relay)) throw failed();
      return readFileSync(log, 'utf8') === 'ready\n';
    },
    5000,
    () => `the relay of ${name} is not ready`,
  );
  return relay;
}
