import { readFileSync } from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { CmsadmError } from '../src/errors.ts';
import { cableOf, linkExists } from './cable.ts';
import { removeGroups } from './cgroups.ts';
import { launch } from './launch.ts';
import { childrenOf, end, identify, isAlive, isInit, type ProcessId, waitUntil } from './processes.ts';
import { run } from './run.ts';
import { bridge, labServers, type ServerName } from './servers.ts';
import { labFolder } from './state.ts';

export type Guest = { readonly nspawn: ProcessId; readonly guest: ProcessId };

/** The environment of commands run inside a server: nothing of this machine's own. */
export const guestEnvironment = {
  PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  HOME: '/root',
  LC_ALL: 'C.UTF-8',
} as const;

/** The parts of a server's folder: overlay layers, the joined root, the console's output, keys made for it. */
export function serverFolders(name: ServerName) {
  const top = join(labFolder, name);
  return {
    top,
    disk: join(top, 'disk'),
    upper: join(top, 'disk/upper'),
    work: join(top, 'disk/work'),
    root: join(top, 'root'),
    console: join(top, 'console.log'),
    identity: join(labFolder, 'identity', name),
  };
}

/**
 * Starts a server on its mounted root and returns its processes; the boot goes on by itself.
 * `started` hears of systemd-nspawn at once, so that a crash from here on leaves a record.
 */
export async function startGuest(name: ServerName, started: (nspawn: ProcessId) => void): Promise<Guest> {
  const { root, console } = serverFolders(name);
  const nspawn = [
    ...['systemd-nspawn', '--quiet', `--directory=${root}`, '--boot', `--machine=${name}`],
    ...[`--network-bridge=${bridge.name}`, '--register=no', '--keep-unit', '--resolv-conf=off', '--timezone=off'],
  ];
  const parent = launch(name, nspawn, console);
  if (parent === undefined) throw startFailed(name);
  started(parent);
  let guest: ProcessId | undefined;
  await waitUntil(
    () => {
      if (!isAlive(parent)) throw startFailed(name);
      const init = childrenOf(parent.pid).find(isInit);
      guest = init === undefined ? undefined : identify(init);
      return guest !== undefined;
    },
    10_000,
    () => `${name} has no PID 1 yet`,
  );
  if (guest === undefined) throw startFailed(name);
  return { nspawn: parent, guest };
}

/**
 * Waits until a started server has booted and, with `ssh`, its sshd answers from outside.
 * Returns what systemd says of itself: `running`, or `degraded` when a unit failed. Throws `lab-timeout`.
 */
export async function awaitBoot(name: ServerName, guest: ProcessId, ssh: boolean): Promise<'running' | 'degraded'> {
  let state = '';
  await waitUntil(
    async () => {
      if (!isAlive(guest)) throw startFailed(name);
      state = (await run(enter(guest, ['systemctl', 'is-system-running']), { reject: false, env: guestEnvironment }))
        .stdout;
      return state === 'running' || state === 'degraded';
    },
    60_000,
    () => `${name} has not booted (${state}); see ${serverFolders(name).console}`,
    100,
  );
  if (ssh) {
    const { address } = labServers[name];
    await waitUntil(
      () => greets(address, 22, 'SSH-'),
      20_000,
      () => `sshd of ${name} does not answer on ${address}`,
      50,
    );
  }
  return state === 'degraded' ? 'degraded' : 'running';
}

/** Power loss: PID 1 and systemd-nspawn die at once. What was written to the server's disk stays. */
export async function killGuest(name: ServerName, recorded: readonly ProcessId[]): Promise<void> {
  await end(recorded);
  await removeGroups(name);
  const cable = cableOf(name);
  // The kernel keeps the network of a dead server while a connection there still has something unsent. It may also be
  // taking the cable away at this very moment.
  await run(['ip', 'link', 'delete', cable], { reject: false });
  await waitUntil(
    () => !linkExists(cable),
    10_000,
    () => `${cable} does not go away`,
  );
}

/** The argv that runs a command inside a server, in all its namespaces. */
export function enter(guest: ProcessId, argv: readonly string[]): readonly [string, ...string[]] {
  return ['nsenter', `--target=${guest.pid}`, '--all', '--root', '--wd', ...argv];
}

/** Does a TCP server there greet with these first bytes within a second? */
function greets(host: string, port: number, greeting: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port });
    const done = (answer: boolean): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.setTimeout(1000, () => done(false));
    socket.once('error', () => done(false));
    socket.once('data', (data) => done(data.toString('latin1').startsWith(greeting)));
  });
}

function startFailed(name: ServerName): CmsadmError {
  const { console } = serverFolders(name);
  return new CmsadmError('lab-start-failed', `${name} did not start.`, {
    file: console,
    details: readFileSync(console, 'utf8').trim().split('\n').slice(-10),
    remedy: 'Read the lines above, then `npm run lab -- down` and `up`.',
  });
}
