import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { CmsadmError } from '../src/errors.ts';
import { mountPointsBelow, unmount } from './mounts.ts';
import { run } from './run.ts';
import { passwords } from './servers.ts';

/** What every lab server is made of. A change here makes another base: the key is a hash of all of it. */
const recipe = {
  suite: 'bookworm',
  packages: [
    ...['systemd', 'systemd-sysv', 'dbus', 'libpam-systemd', 'login', 'sudo', 'less', 'procps', 'tzdata', 'netbase'],
    ...['openssh-server', 'openssh-client', 'iproute2', 'iputils-ping', 'iputils-arping', 'ifupdown', 'netcat-openbsd'],
    ...['keepalived', 'chrony', 'cron', 'nftables', 'iptables', 'rsync', 'attr', 'acl', 'e2fsprogs'],
  ],
  /** Run in the new root, in this order. */
  setUp: [
    ['groupadd', '-g', '3001', 'informix'],
    ['useradd', '-u', '3001', '-g', 'informix', '-d', '/opt/informix', '-s', '/usr/sbin/nologin', 'informix'],
    // The group is Debian's own.
    ['useradd', '-u', '1000', '-g', 'operator', '-G', 'sudo', '-m', '-s', '/bin/bash', 'operator'],
    // Nothing that wakes up by itself and looks for the outside world.
    ['systemctl', 'mask', 'apt-daily.timer', 'apt-daily-upgrade.timer', 'dpkg-db-backup.timer', 'e2scrub_all.timer'],
  ],
  passwords,
  /** What the product has to bring along, because these servers do not have it. */
  absent: ['node', 'nodejs', 'unzip', 'python3', 'python'],
  /** Of the machine that built it, or to be made afresh on every server. */
  removed: ['etc/resolv.conf', 'etc/hostname', 'etc/machine-id', 'var/lib/dbus/machine-id', 'etc/apt/sources.list'],
} as const;

const recipeKey = createHash('sha256').update(JSON.stringify(recipe)).digest('hex').slice(0, 16);

/** Where bases are kept between runs: `$CMSADM_LAB_CACHE`, else a folder below /var/cache. */
function cacheFolder(): string {
  return process.env['CMSADM_LAB_CACHE'] ?? '/var/cache/cmsadm-lab';
}

/** Where the base of today's recipe is, or will be. */
export function baseFolder(): string {
  return join(cacheFolder(), `base-${recipeKey}`);
}

/**
 * The base file system, built by debootstrap if it is not there yet (one to two minutes, about 370 MB), and its folder.
 * Built beside and renamed when it is whole. Throws `lab-no-mirror`, `lab-base-unfit`, `lab-command-failed`.
 */
export async function ensureBase(say: (line: string) => void): Promise<string> {
  const folder = baseFolder();
  if (existsSync(folder)) return folder;
  mkdirSync(cacheFolder(), { recursive: true, mode: 0o700 });
  await removeOthers();
  const mirror = await aptMirror();
  const unfinished = `${folder}.unfinished`;
  say(`building the base file system in ${folder} (once, one to two minutes)`);
  await run(
    ['debootstrap', '--variant=minbase', `--include=${recipe.packages.join(',')}`, recipe.suite, unfinished, mirror],
    { timeoutMs: 20 * 60_000 },
  );
  await setUp(unfinished);
  await unmountBelow(unfinished);
  renameSync(unfinished, folder);
  return folder;
}

async function setUp(root: string): Promise<void> {
  const env = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };
  for (const argv of recipe.setUp) await run(['chroot', root, ...argv], { env });
  const lines = Object.entries(recipe.passwords).map(([user, password]) => `${user}:${password}\n`);
  await run(['chroot', root, 'chpasswd'], { env, input: lines.join('') });
  for (const path of recipe.removed) rmSync(join(root, path), { force: true });
  for (const name of readdirSync(join(root, 'etc/ssh')).filter((file) => file.startsWith('ssh_host_'))) {
    rmSync(join(root, 'etc/ssh', name));
  }
  // An empty machine-id (and no missing one): systemd then does not take the boot for a first one.
  writeFileSync(join(root, 'etc/machine-id'), '');
  for (const folder of ['var/cache/apt/archives', 'var/lib/apt/lists']) rmSync(join(root, folder), { recursive: true });
  const folders = ['usr/local/sbin', 'usr/local/bin', 'usr/sbin', 'usr/bin'];
  const present = recipe.absent.filter((name) => folders.some((folder) => existsSync(join(root, folder, name))));
  if (present.length > 0) {
    throw new CmsadmError('lab-base-unfit', `The base has ${present.join(', ')}, which lab servers must not have.`, {
      remedy: 'Find the package that pulls it in (recipe in lab/base.ts) and leave that out.',
    });
  }
}

/** The mirror that apt itself uses here: the address of any package, up to and including `/debian`. */
async function aptMirror(): Promise<string> {
  const { stdout } = await run(['apt-get', '--print-uris', 'download', 'hostname'], { reject: false });
  const mirror = /^'(\S+?\/debian)\//m.exec(stdout)?.[1];
  if (mirror === undefined) {
    throw new CmsadmError('lab-no-mirror', 'apt knows no Debian mirror, so the base file system can not be built.', {
      remedy: 'Run `apt-get update`, then try again.',
    });
  }
  return mirror;
}

/** Bases of earlier recipes and what a crash left half built go, unless a running lab stands on them. */
async function removeOthers(): Promise<void> {
  const mounts = readFileSync('/proc/self/mountinfo', 'utf8');
  for (const name of readdirSync(cacheFolder()).filter((entry) => entry.startsWith('base-'))) {
    const folder = join(cacheFolder(), name);
    if (mounts.includes(`lowerdir=${folder},`)) continue;
    await unmountBelow(folder);
    rmSync(folder, { recursive: true });
  }
}

/** debootstrap mounts proc in the new root; ended half-way it stays there, and a removal would run into it. */
async function unmountBelow(folder: string): Promise<void> {
  for (const point of mountPointsBelow(folder)) await unmount(point);
}
