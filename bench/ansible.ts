import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { labKey, labKnownHosts } from '../lab/furnish.ts';
import { aptGet, installOn } from '../lab/packages.ts';
import { run } from '../lab/run.ts';
import { labServers } from '../lab/servers.ts';
import { labPair } from './pair.ts';

// Ansible refuses any other encoding.
const utf8 = { LC_ALL: 'C.UTF-8' } as const;
const here = fileURLToPath(new URL('.', import.meta.url));

export type Ansible = {
  /** Plays the playbook; returns how many tasks changed something. Throws when one failed. */
  readonly play: (settings: { readonly pipelining: boolean }) => Promise<number>;
  readonly remove: () => void;
};

/**
 * Gets the peer ready: Ansible on this machine and Python on both servers of the lab, from Debian's packages. Nothing of
 * it enters the lab's cached base.
 */
export async function prepareAnsible(): Promise<Ansible> {
  if (!existsSync('/usr/bin/ansible-playbook')) await run([...aptGet, 'install', 'ansible-core']);
  await installOn(labPair, 'python3');
  const folder = mkdtempSync(join(tmpdir(), 'cmsadm-bench-'));
  const inventory = join(folder, 'inventory.ini');
  writeFileSync(inventory, inventoryText(folder));
  const argv = ['ansible-playbook', '-i', inventory, join(here, 'ansible/site.yaml')] as const;
  const environment = { PATH: '/usr/bin:/bin:/usr/sbin:/sbin', HOME: folder, ...utf8, ANSIBLE_NOCOLOR: '1' };
  return {
    play: async ({ pipelining }) => {
      const { stdout } = await run(argv, { env: { ...environment, ANSIBLE_PIPELINING: pipelining ? '1' : '0' } });
      return [...stdout.matchAll(/ changed=(\d+) /g)].reduce((sum, [, count]) => sum + Number(count), 0);
    },
    remove: () => rmSync(folder, { recursive: true, force: true }),
  };
}

function inventoryText(folder: string): string {
  const login = [
    'ansible_user=root',
    'ansible_python_interpreter=/usr/bin/python3',
    `ansible_ssh_private_key_file=${labKey}`,
    `ansible_ssh_common_args='-F none -o UserKnownHostsFile=${labKnownHosts} -o IdentitiesOnly=yes'`,
    `ansible_control_path_dir=${folder}`,
    `unit_folder=${fileURLToPath(new URL('../templates', import.meta.url))}`,
    `pair_domain=${labServers.cms1.fqdn.replace(/^[^.]+\./, '')}`,
    `ntp_server=${labServers.probe.address}`,
  ];
  const hosts = labPair.map((name) => `${name} ansible_host=${labServers[name].address}`);
  return ['[pair]', ...hosts, '', '[pair:vars]', ...login, ''].join('\n');
}

/** Its version, to be told with the figures. */
export const ansibleVersion = async (): Promise<string> =>
  (await run(['/usr/bin/ansible-playbook', '--version'], { env: utf8 })).stdout.split('\n')[0] ?? '';
