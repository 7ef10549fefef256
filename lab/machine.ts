import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { hierarchies } from './cgroups.ts';
import { bridge } from './servers.ts';

/** The programs of this machine that the lab runs, and Debian's packages that bring them. */
const tools = {
  debootstrap: 'debootstrap',
  'systemd-nspawn': 'systemd-container',
  systemctl: 'systemd',
  nsenter: 'util-linux',
  ip: 'iproute2',
  tc: 'iproute2',
  ssh: 'openssh-client',
  'ssh-keygen': 'openssh-client',
} as const;

// util-linux, present wherever nsenter is.
const unshare = 'unshare';

/** Why no lab can run on this machine, in a few words; undefined when one can. */
export function findObstacle(): string | undefined {
  if (process.platform !== 'linux') return 'the lab needs Linux';
  if (process.getuid?.() !== 0) return 'the lab needs root';
  const folders = (process.env['PATH'] ?? '').split(delimiter);
  const missing = Object.entries(tools).filter(([tool]) => !folders.some((folder) => existsSync(join(folder, tool))));
  if (missing.length > 0) return `packages are missing: ${[...new Set(missing.map(([, name]) => name))].join(', ')}`;
  if (!/\boverlay$/m.test(readFileSync('/proc/filesystems', 'utf8'))) return 'the kernel has no overlay file system';
  if (hierarchies().length === 0) return 'no control groups are mounted in /sys/fs/cgroup';
  // Tried in namespaces of its own: it proves both rights and leaves nothing behind.
  const trial = ['--mount', '--pid', '--net', '--fork', 'ip', 'link', 'add', 'name', bridge.name, 'type', 'bridge'];
  const { status, stderr } = spawnSync(unshare, trial, { encoding: 'utf8' });
  return status === 0 ? undefined : `namespaces or bridges can't be made here: ${stderr.trim()}`;
}
