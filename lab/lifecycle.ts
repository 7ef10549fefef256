import { mkdirSync, rmSync } from 'node:fs';
import { CmsadmError } from '../src/errors.ts';
import { cableOf, removeLink, setCable } from './cable.ts';
import { removeGroups } from './cgroups.ts';
import { mountDisk } from './disk.ts';
import { furnish } from './furnish.ts';
import { awaitBoot, killGuest, serverFolders, startGuest } from './guest.ts';
import { type Line, removeRelay, setLine } from './line.ts';
import { mountOverlay, mountPointsBelow, unmount } from './mounts.ts';
import { end, isAlive, type ProcessId } from './processes.ts';
import { bridge, type ServerName, serverNames } from './servers.ts';
import { labFolder, readState, recordedProcesses, requireState, serverAtRest, updateServer } from './state.ts';

/** A server that was booted: what its systemd says, and how long it took until sshd answered. */
export type Boot = { readonly name: ServerName; readonly system: 'running' | 'degraded'; readonly seconds: number };

/** PID 1 of a server. Throws `lab-server-off`, `lab-down`. */
export function guestOf(name: ServerName): ProcessId {
  const guest = findGuest(name);
  if (guest === undefined) {
    throw new CmsadmError('lab-server-off', `${name} is off.`, {
      remedy: `npm run lab -- power-on ${name}`,
      server: name,
    });
  }
  return guest;
}

/** PID 1 of a server, or undefined when it is off. Throws `lab-down`. */
export function findGuest(name: ServerName): ProcessId | undefined {
  const { guest } = requireState().servers[name];
  return guest !== undefined && isAlive(guest) ? guest : undefined;
}

/** Mounts a new disk over the base, puts the server's own files on it, and boots. */
export async function bootFresh(name: ServerName): Promise<Boot> {
  const { upper, work, root } = serverFolders(name);
  const { base, variant, diskMb } = requireState();
  if (diskMb !== undefined) await mountDisk(name, diskMb);
  for (const folder of [upper, work, root]) mkdirSync(folder, { recursive: true, mode: 0o755 });
  await mountOverlay({ lower: base, upper, work, root });
  await furnish(name, variant);
  return boot(name);
}

/** Boots a server that is off. A cable that was pulled and a line that was slow stay so. */
export async function boot(name: ServerName): Promise<Boot> {
  const began = Date.now();
  // Whatever is left of the last run, were it only the supervisor of a guest that died by itself.
  await stop(name);
  const processes = await startGuest(name, (nspawn) => updateServer(name, (before) => ({ ...before, nspawn })));
  const { cut, delayMs, lossPercent } = updateServer(name, (before) => ({ ...before, ...processes }));
  if (cut) await setCable(name, false);
  if (delayMs > 0 || lossPercent > 0) await slowDown(name, { delayMs, lossPercent });
  const system = await awaitBoot(name, processes.guest, !cut);
  return { name, system, seconds: (Date.now() - began) / 1000 };
}

/** Sets the line to a server that is on. */
export async function slowDown(name: ServerName, line: Line): Promise<void> {
  const { relay: before, ...rest } = requireState().servers[name];
  const relay = await setLine(name, line, before);
  updateServer(name, () => ({ ...rest, ...line, ...(relay === undefined ? {} : { relay }) }));
}

/** Power loss. */
export async function stop(name: ServerName): Promise<void> {
  const { nspawn, guest, relay, ...rest } = requireState().servers[name];
  await removeRelay(name, relay);
  await killGuest(
    name,
    [guest, nspawn].filter((one) => one !== undefined),
  );
  updateServer(name, () => rest);
}

/** Power loss, and the server's disk is gone. Its cable and line are put right. */
export async function discard(name: ServerName): Promise<void> {
  await stop(name);
  const { top } = serverFolders(name);
  await unmountAllBelow(top);
  rmSync(top, { recursive: true });
  updateServer(name, () => serverAtRest);
}

/** Removes processes, control groups, mounts, network devices and files of the lab, whatever state a crash left them in. */
export async function clear(): Promise<void> {
  const state = readState();
  if (state !== undefined) await end(recordedProcesses(state));
  await removeGroups();
  await unmountAllBelow(labFolder);
  for (const name of serverNames) {
    await removeRelay(name, undefined);
    await removeLink(cableOf(name));
  }
  await removeLink(bridge.name);
  rmSync(labFolder, { recursive: true, force: true });
}

async function unmountAllBelow(folder: string): Promise<void> {
  for (const point of mountPointsBelow(folder)) await unmount(point);
}
