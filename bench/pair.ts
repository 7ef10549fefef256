import * as v from 'valibot';
import { labKey } from '../lab/furnish.ts';
import { copyIn, exec } from '../lab/lab.ts';
import { labPackages } from '../lab/product.ts';
import { labServers, type ServerName } from '../lab/servers.ts';

/** The servers that both sides make a pair of. */
export const labPair = ['cms1', 'cms2'] as const satisfies readonly ServerName[];

const stash = '/root/bench';
const key = `${stash}/operator-key`;
const kept = [
  ...['etc/hosts', 'etc/services', 'etc/chrony/chrony.conf', 'etc/nftables.conf', 'etc/ssh', 'etc/cmsadm'],
  ...['opt/informix/etc', 'cms/install', 'cms/admin', 'root/.ssh'],
];

/** Keeps the servers' files as they are before any run, and gives cms1 the key for its first login on cms2. */
export async function keepState(): Promise<void> {
  for (const name of labPair) {
    await exec(name, ['mkdir', '-p', stash]);
    await exec(name, ['tar', '-C', '/', '-cf', `${stash}/before.tar`, ...kept]);
  }
  await copyIn('cms1', labKey, key);
  await exec('cms1', ['chmod', '600', key]);
}

// What either side made goes; what either side changed comes back; the services read it.
const restoreScript = `set -eu
systemctl disable --quiet --now cmsadm-agent.service cmsadm-recover.service 2>/dev/null || :
rm -rf /var/lib/cmsadm /run/cmsadm /etc/pair.json /root/.rhosts /root/.bash_profile
rm -f /etc/systemd/system/cmsadm-*.service* /etc/*.zdt_* /etc/*~
cd /
rm -rf ${kept.filter((path) => path !== 'etc/ssh').join(' ')}
tar -xf ${stash}/before.tar
systemctl daemon-reload
systemctl reset-failed
systemctl reload ssh nftables
systemctl restart ids cms chrony
systemctl is-active ids cms chrony ssh nftables
sync
`;

/** Makes single servers of both again, as they were when `keepState` saw them. */
export async function restoreState(): Promise<void> {
  await Promise.all(labPair.map((name) => exec(name, ['sh', '-c', restoreScript])));
}

/** What systemd knows of each service's present run: any start, stop or reload changes it. */
export async function serviceRuns(): Promise<string> {
  const units = ['ids', 'cms', 'chrony', 'nftables', 'ssh', 'cron', 'cmsadm-agent'];
  const properties = '--property=Id,InvocationID,MainPID,StateChangeTimestampMonotonic';
  const shown = await Promise.all(labPair.map((name) => exec(name, ['systemctl', 'show', properties, ...units])));
  return shown.map(({ stdout }) => stdout).join('\n');
}

/**
 * Set up as a script on cms1 runs it, always with the same answers. What is returned runs it once and tells its outcome
 * (`done`, `nothing to do`); it throws where the exit code is not 0.
 */
export async function setUpCommand(haPackage: string = labPackages.haPackage): Promise<() => Promise<string>> {
  const { address, fqdn } = labServers.cms2;
  const listed = await exec('cms2', ['ssh-keygen', '-l', '-f', '/etc/ssh/ssh_host_ed25519_key.pub']);
  const answers = {
    'ntp-server': labServers.probe.address,
    'secondary-ip': address,
    'secondary-fqdn': fqdn,
    'licence-package': labPackages.licence,
    'ha-package': haPackage,
    'peer-user': 'root',
    'peer-key': key,
    'peer-fingerprint': listed.stdout.split(' ')[1] ?? '',
  };
  const flags = Object.entries(answers).flatMap(([name, value]) => [`--${name}`, value]);
  return async () => {
    const { stdout } = await exec('cms1', ['cmsadm', 'config_HA', 'setup', ...flags, '--json', '--yes']);
    return v.parse(v.pipe(v.string(), v.parseJson(), v.object({ outcome: v.string() })), stdout).outcome;
  };
}
