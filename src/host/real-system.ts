import * as fs from 'node:fs';
import * as net from 'node:net';
import * as os from 'node:os';
import type { Duplex } from 'node:stream';
import { CmsadmError } from '../errors.ts';
import { cloneAttributes } from './clone-attributes.ts';
import { firewall } from './firewall-in-force.ts';
import { parseAddresses, parseListeners, parseRouteSource } from './network.ts';
import { askToLeave, bootId, endProcess, processStart, processState, readOr } from './process-table.ts';
import { lastLines, type Outcome, run, runOrFail } from './processes.ts';
import type { Identity, Judge, ServiceVerb, System, UnitState, Verdict } from './system.ts';
import { parseUnits, unitProperties } from './units.ts';

/** Reads os-release(5): name, version and the family by ID and ID_LIKE. */
export function parseOsRelease(text: string): Pick<Identity, 'osName' | 'osVersion' | 'osFamily'> {
  const field = (name: string): string => new RegExp(`^${name}=["']?([^"'\n]*)["']?$`, 'm').exec(text)?.[1] ?? '';
  const like = `${field('ID')} ${field('ID_LIKE')}`.split(' ');
  const osFamily = like.includes('debian')
    ? 'debian'
    : like.some((id) => ['rhel', 'fedora', 'centos'].includes(id))
      ? 'rhel'
      : 'other';
  return { osName: field('NAME') || 'unknown', osVersion: field('VERSION_ID') || 'unknown', osFamily };
}

function timeZone(): string {
  const link = (() => {
    try {
      return fs.readlinkSync('/etc/localtime');
    } catch {
      return ''; // a copied zone file instead of a link: /etc/timezone or the process tells
    }
  })();
  const zone =
    link.split('/zoneinfo/')[1] ??
    (readOr('/etc/timezone', '').trim() || Intl.DateTimeFormat().resolvedOptions().timeZone);
  return ['UTC', 'Etc/UTC', 'Etc/UCT', 'Etc/Zulu', 'UCT', 'Zulu'].includes(zone) ? 'UTC' : zone;
}

const osRelease = (): Pick<Identity, 'osName' | 'osVersion' | 'osFamily'> =>
  parseOsRelease(readOr('/etc/os-release', ''));

type Links = ReturnType<typeof parseAddresses>;
let askedForLinks: Promise<Links> | undefined;

/** One answer of ip(8) serves everybody who asks while it is on its way, and for a second after. */
function links(): Promise<Links> {
  askedForLinks ??= run(['ip', '-j', '-d', 'addr'])
    .then(({ stdout }) => parseAddresses(stdout))
    .finally(() => {
      setTimeout(() => {
        askedForLinks = undefined;
      }, 1_000).unref();
    });
  return askedForLinks;
}

async function identity(): Promise<Identity> {
  const { ethernetPorts } = await links();
  return {
    hostname: os.hostname(),
    ...osRelease(),
    arch: os.machine(),
    root: process.getuid?.() === 0,
    cpus: os.cpus().length,
    memoryMb: Math.round(os.totalmem() / 1048576),
    timeZone: timeZone(),
    ethernetPorts,
  };
}

async function units(names: readonly string[]): Promise<Record<string, UnitState>> {
  if (names.length === 0) return {};
  // It tells times in the zone of its environment, and names the zone with letters that mean several.
  const shown = await run(['env', 'TZ=UTC', 'systemctl', 'show', `--property=${unitProperties}`, ...names]);
  if (shown.exitCode !== 0)
    throw new CmsadmError('service-manager-unreachable', 'systemd does not answer.', {
      details: lastLines(shown.stderr),
      remedy: 'See `systemctl status` on this server.',
    });
  return parseUnits(names, shown.stdout);
}

const flags: Partial<Record<ServiceVerb, readonly string[]>> = {
  // Only comes when a change is put back, perhaps at boot: a unit ordered after us must not block us.
  start: ['--no-block'],
  // Who changed unit files has systemd read them, once: reloadUnitFiles.
  enable: ['--no-reload'],
};

async function control(verb: ServiceVerb, names: readonly string[], seconds?: number): Promise<void> {
  if (names.length === 0) return;
  const options = seconds === undefined ? (flags[verb] ?? []) : [];
  const timeout = (seconds ?? 600) * 1000;
  const began = performance.now();
  const outcome = await run(['systemctl', verb, ...options, '--', ...names], { timeout });
  if (outcome.exitCode === 0) return;
  const isLate = performance.now() - began >= timeout;
  // systemd itself says three or four lines of each unit that fails.
  const lines = 5 * names.length;
  const journal = await run([
    'journalctl',
    '--no-pager',
    '-q',
    '-n',
    String(lines),
    '-o',
    'cat',
    ...names.flatMap((name) => ['-u', name]),
  ]);
  const how = isLate ? `did not end within ${timeout / 1000} s` : 'failed';
  throw new CmsadmError('service-failed', `systemctl ${verb} ${names.join(' ')} ${how}.`, {
    details: [...(isLate ? [] : lastLines(outcome.stderr, 3)), ...lastLines(journal.stdout, lines)].filter(
      (line) => line !== '',
    ),
    remedy: `See \`journalctl -u ${names[0]}\` there.`,
  });
}

/**
 * Asks sshd(8). Where its socket starts it, systemd makes the folder that it wants only while it runs; made here it is
 * as that one, and goes with the next end of the service.
 */
async function askSshd(args: readonly string[]): Promise<Outcome> {
  const outcome = await run(['sshd', ...args]);
  const folder = /^Missing privilege separation directory: (\/run\/[\w-]+)\s*$/m.exec(outcome.stderr)?.[1];
  if (outcome.exitCode === 0 || folder === undefined) return outcome;
  fs.mkdirSync(folder, { recursive: true, mode: 0o755 });
  return run(['sshd', ...args]);
}

const judges = {
  chrony: (file: string) => ['chronyd', '-p', '-f', file],
  nftables: (file: string) => ['nft', '-c', '-f', file],
  iptables: (file: string) => ['iptables-restore', '--test', file],
  // keepalived(8): it tells what is wrong on standard error only with --log-console.
  keepalived: (file: string) => ['keepalived', '--config-test', '--log-console', '--use-file', file],
  keys: (file: string) => ['ssh-keygen', '-l', '-f', file],
};

async function judge(kind: Judge, file: string): Promise<Verdict> {
  const outcome = kind === 'sshd' ? await askSshd(['-t']) : await run(judges[kind](file));
  if (outcome.exitCode === 0) return { ran: true, problem: undefined };
  // Only one that is not there; one that died of the file, or did not end over it, has judged it.
  if (outcome.exitCode === 127 && /\bENOENT\b/.test(outcome.stderr)) return { ran: false };
  return {
    ran: true,
    problem: lastLines(outcome.stderr || outcome.stdout, 3).join(' / ') || 'its judge did not end well',
  };
}

const connect = (address: string, port: number): Promise<Duplex> =>
  new Promise((resolve, reject) => {
    const socket = net.connect({ host: address, port, timeout: 10_000 });
    const began = performance.now();
    let isLate = false;
    const fail = (why: string, cause?: unknown): void => {
      socket.destroy();
      reject(
        new CmsadmError('unreachable', `No connection to ${address} port ${port}: ${why}.`, {
          server: address,
          cause,
          remedy: `Check the address, the cable and the firewall; \`ssh -p ${port} ${address}\` should greet you.`,
        }),
      );
    };
    socket.on('timeout', () => {
      // Where this process stood still, what came meanwhile is heard first.
      if (isLate || performance.now() - began < 11_000) return fail('no answer within 10 s');
      isLate = true;
      socket.setTimeout(1_000);
    });
    socket.once('error', (error) => fail(error.message, error));
    socket.once('connect', () => {
      socket.removeAllListeners('error').removeAllListeners('timeout').setTimeout(0).setNoDelay(true);
      resolve(socket);
    });
  });

/** The system of the server that the program runs on. */
export const realSystem = (): System => ({
  real: true,
  osFamily: () => osRelease().osFamily,
  identity,
  clock: () => Date.now(),
  elapsed: () => Math.trunc(performance.now()),
  addresses: async () => (await links()).addresses,
  routeSource: async (address) => parseRouteSource((await run(['ip', '-j', 'route', 'get', address])).stdout),
  disk: async (path) => {
    const stat = await fs.promises.statfs(path);
    const mb = (blocks: number): number => Math.floor((blocks * stat.bsize) / 1048576);
    return { freeMb: mb(stat.bavail), totalMb: mb(stat.blocks) };
  },
  units,
  control,
  reloadUnitFiles: async () => void (await runOrFail(['systemctl', 'daemon-reload'])),
  effectiveSshd: async (c) => {
    const spec = `user=${c.user},host=${c.host},addr=${c.addr},laddr=${c.laddr},lport=${c.lport}`;
    const outcome = await askSshd(['-T', '-C', spec]);
    if (outcome.exitCode === 0) return outcome.stdout;
    throw new CmsadmError('sshd-config-broken', 'sshd does not accept its own configuration.', {
      details: lastLines(outcome.stderr),
      remedy: 'Run `sshd -t` there and correct what it names.',
    });
  },
  judge,
  cloneAttributes,
  label: async (files) => {
    // Without SELinux in the kernel there is nothing to do, and often no program either.
    if (files.length > 0 && fs.existsSync('/sys/fs/selinux/enforce')) await runOrFail(['restorecon', '--', ...files]);
  },
  listeners: async () =>
    (['tcp', 'tcp6', 'udp', 'udp6'] as const).flatMap((table) =>
      parseListeners(readOr(`/proc/net/${table}`, ''), table.startsWith('tcp') ? 'tcp' : 'udp'),
    ),
  firewall,
  arm: async (unit, seconds, argv) => {
    const isArmed = (name: string): boolean => fs.existsSync(`/run/systemd/transient/${name}.timer`);
    // The new one first: whoever dies in between leaves two, and the earlier one settles it.
    const names = [unit, `${unit}-anew`];
    const name = names.find((one) => !isArmed(one)) ?? `${unit}-${process.pid}`;
    // Without AccuracySec systemd may be a minute late.
    await runOrFail([
      'systemd-run',
      '--quiet',
      '--collect',
      `--unit=${name}`,
      `--on-active=${seconds}`,
      '--timer-property=AccuracySec=100ms',
      '--',
      ...argv,
    ]);
    const others = names.filter((one) => one !== name && isArmed(one)).map((one) => `${one}.timer`);
    if (others.length > 0) await run(['systemctl', 'stop', ...others]);
  },
  // A pattern too: a way back that had to wait armed further ones of its name.
  disarm: async (unit) => void (await run(['systemctl', 'stop', `${unit}.timer`, `${unit}-*.timer`])),
  // By systemd-cat(1): a timer, a session and a command all tell it in one place. A journal that hangs holds nobody up.
  journal: async (line) =>
    void (await run(['systemd-cat', '--identifier=cmsadm', '--priority=warning'], {
      input: `${line}\n`,
      timeout: 5_000,
    })),
  connect,
  bootId,
  processStart,
  processState,
  askToLeave,
  endProcess,
  runInstaller: async (folder, options) => {
    const outcome = await run(['sh', `${folder}/install`, ...options], { timeout: 120_000 });
    if (outcome.exitCode === 0) return;
    throw new CmsadmError('install-failed', 'The program could not be installed or removed.', {
      details: lastLines(outcome.stderr || outcome.stdout),
      remedy: 'Put right what these lines name (free space, permissions), then run the command again.',
    });
  },
});
