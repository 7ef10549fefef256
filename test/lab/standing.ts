import { expect } from 'vitest';
import { exec } from '../../lab/lab.ts';
import { pair, type Server, sh } from './kit.ts';

/** What stands on a server: path → type, mode, owner, link target, SHA-256 (of a large file size and time); unit → process, start. */
export type Standing = ReadonlyMap<string, string>;

/** All that set up could touch. */
const everything = ['/etc', '/root', '/opt', '/usr/local', '/var/lib/cmsadm', '/cms'];

/** The files that a change of the roles writes; what the link writes stays until HA is disabled. */
export const changedFiles: readonly string[] = [
  '/etc/hosts',
  '/etc/services',
  '/etc/chrony/chrony.conf',
  '/etc/nftables.conf',
  '/etc/systemd/system/cmsadm-agent.service',
  '/opt/informix/etc/sqlhosts',
  '/opt/informix/etc/onconfig.cms',
  '/cms/install/security/OpenPorts',
  '/root/.rhosts',
  '/root/.bash_profile',
  '/var/lib/cmsadm/pair.json',
];

const services = ['ids', 'cms', 'chrony', 'ssh', 'cron', 'nftables'];

/** The files below these places, as they are now; what does not exist is not in it. */
export async function filesOf(server: Server, places: readonly string[]): Promise<Standing> {
  const script = `
    for place; do shift; if [ -e "$place" ] || [ -L "$place" ]; then set -- "$@" "$place"; fi; done
    [ $# -gt 0 ] || exit 0
    find "$@" -xdev -printf '%p\\t%y %m %U:%G %l\\n'
    find "$@" -xdev -type f -size +5M -printf '%p\\t%s %T@\\n'
    find "$@" -xdev -type f ! -size +5M -exec sha256sum {} + | sed 's/^\\([0-9a-f]*\\)  \\(.*\\)$/\\2\\t\\1/'`;
  const { stdout } = await exec(server, ['sh', '-c', script, 'sh', ...places]);
  const found = new Map<string, string>();
  for (const line of stdout.split('\n').filter((one) => one !== '')) {
    const [path = '', facts = ''] = line.split('\t');
    found.set(path, `${found.get(path) ?? ''}${facts.trim()} `);
  }
  // A shell that was used leaves its history.
  found.delete('/root/.bash_history');
  // The books of admin-sync change with every file that it carries.
  for (const path of found.keys()) if (path.startsWith('/var/lib/cmsadm/sync')) found.delete(path);
  return found;
}

/** Process and start of the services that set up could restart. */
export async function servicesOf(server: Server): Promise<Standing> {
  const properties = '--property=Id,MainPID,ActiveState,UnitFileState,ActiveEnterTimestampMonotonic';
  const { stdout } = await exec(server, ['systemctl', 'show', properties, ...services]);
  return new Map(
    stdout.split('\n\n').map((block) => [/^Id=(.*)$/m.exec(block)?.[1] ?? '', block.replaceAll('\n', ' ')]),
  );
}

/** How both servers stand: every file that could be touched, and the services. */
export async function standingOfBoth(places: readonly string[] = everything): Promise<Record<Server, Standing>> {
  const one = async (server: Server): Promise<Standing> =>
    new Map([...(await filesOf(server, places)), ...(await servicesOf(server))]);
  const [first, second] = await Promise.all(pair.map(one));
  if (first === undefined || second === undefined) throw new Error('a pair has two servers');
  return { cms1: first, cms2: second };
}

/** What differs, one line each, for `toEqual([])`. */
export const differences = (before: Standing, after: Standing): string[] =>
  [...new Set([...before.keys(), ...after.keys()])]
    .filter((path) => before.get(path) !== after.get(path))
    .sort()
    .map((path) => `${path}: ${before.get(path) ?? 'absent'} -> ${after.get(path) ?? 'absent'}`);

/** Fails unless both servers stand as before, no run-time folder is left, and nobody holds a lock. */
export async function expectUntouched(
  before: Readonly<Record<Server, Standing>>,
  places: readonly string[] = everything,
): Promise<void> {
  const left =
    'ls -d /run/cmsadm-first.* /var/tmp/cmsadm-first.* /tmp/cmsadm-first.* /root/cmsadm-first.* /run/cmsadm/lock';
  // The peer's side ends a moment after ours.
  for (const server of pair)
    await expect.poll(() => sh(server, `${left} 2>/dev/null; true`), { timeout: 10_000 }).toBe('');
  const after = await standingOfBoth(places);
  for (const server of pair) expect(differences(before[server], after[server]), server).toEqual([]);
}
