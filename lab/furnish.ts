import { randomBytes } from 'node:crypto';
import { chmodSync, chownSync, cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { serverFolders } from './guest.ts';
import { run } from './run.ts';
import { bridge, type LabServer, labServers, type ServerName, serverNames, type Variant } from './servers.ts';
import { labFolder } from './state.ts';

type Placed = { readonly path: string; readonly mode: number; readonly content: string; readonly owner?: Owner };
type Owner = { readonly uid: number; readonly gid: number };

const root: Owner = { uid: 0, gid: 0 };
// As the base's recipe makes them.
const informix: Owner = { uid: 3001, gid: 3001 };
// Debian has a group of that name already.
const operator: Owner = { uid: 1000, gid: 37 };

const hostKeyTypes = ['ed25519', 'ecdsa', 'rsa'] as const;

/** The private key with which this machine enters lab servers, and the known_hosts that pins theirs. */
export const labKey = join(labFolder, 'operator-key');
export const labKnownHosts = join(labFolder, 'known_hosts');

/**
 * Makes what identifies the servers of this lab: this machine's key for them, host keys, machine ids, and on cms1 the
 * ordinary key pairs of its root. They outlive power-off and reset, and go with `down`.
 */
export async function makeIdentities(): Promise<void> {
  mkdirSync(labFolder, { recursive: true, mode: 0o700 });
  const own = serverFolders('cms1').identity;
  for (const name of serverNames) {
    const { identity } = serverFolders(name);
    mkdirSync(join(identity, 'etc/ssh'), { recursive: true, mode: 0o755 });
    writeFileSync(join(identity, 'etc/machine-id'), `${randomBytes(16).toString('hex')}\n`, { mode: 0o444 });
  }
  mkdirSync(join(own, 'root/.ssh'), { recursive: true, mode: 0o700 });
  chmodSync(join(own, 'root'), 0o700);
  // Short RSA keys: making long ones would take most of the time of `up`.
  const key = (type: string, file: string, comment: string) =>
    run([
      'ssh-keygen',
      '-q',
      '-t',
      type,
      ...(type === 'rsa' ? ['-b', '2048'] : []),
      '-N',
      '',
      '-C',
      comment,
      '-f',
      file,
    ]);
  await Promise.all([
    ...serverNames.flatMap((name) => hostKeyTypes.map((type) => key(type, hostKey(name, type), `root@${name}`))),
    key('ed25519', labKey, 'operator of the lab'),
    key('ed25519', join(own, 'root/.ssh/id_ed25519'), 'root@cms1'),
    key('rsa', join(own, 'root/.ssh/id_rsa'), 'root@cms1'),
  ]);
  const pins = serverNames.flatMap((name) =>
    hostKeyTypes.map((type) => {
      const [kind, base64] = readFileSync(`${hostKey(name, type)}.pub`, 'utf8').split(' ');
      return `${labServers[name].address} ${kind} ${base64}\n`;
    }),
  );
  writeFileSync(labKnownHosts, pins.join(''), { mode: 0o600 });
}

function hostKey(name: ServerName, type: string): string {
  return join(serverFolders(name).identity, `etc/ssh/ssh_host_${type}_key`);
}

/**
 * Puts a server's own files into its mounted, not yet booted root. The root is a fresh base at this point: no path
 * written here is, or passes through, a symbolic link.
 */
export async function furnish(name: ServerName, variant: Variant): Promise<void> {
  const folders = serverFolders(name);
  const server = labServers[name];
  cpSync(folders.identity, folders.root, { recursive: true });
  for (const file of [...everywhere(server), ...(server.kind === 'cms' ? cmsFiles() : probeFiles())]) {
    place(folders.root, file);
  }
  if (server.kind !== 'cms') return;
  setSshd(folders.root, rootLogin(name, variant));
  // The product's own tree, as the product's installation leaves it: administration data on the first server only.
  mkdirSync(join(folders.root, 'cms/admin'), { mode: 0o755 });
  if (name === 'cms1') {
    for (const file of ['agents', 'splits', 'vdns']) {
      place(folders.root, { path: `/cms/admin/${file}`, mode: 0o644, content: fileOfLab(`admin/${file}`) });
    }
  }
  await run(['systemctl', `--root=${folders.root}`, '--quiet', 'enable', 'nftables', 'ids', 'cms']);
}

function everywhere(server: LabServer): readonly Placed[] {
  const key = readFileSync(`${labKey}.pub`, 'utf8');
  return [
    { path: '/etc/hostname', mode: 0o644, content: `${server.name}\n` },
    { path: '/etc/hosts', mode: 0o644, content: hosts(server) },
    { path: '/etc/network/interfaces', mode: 0o644, content: interfaces(server) },
    {
      path: '/etc/default/chrony',
      mode: 0o644,
      content: '# -x: never sets the clock, which is this machine\'s own.\nDAEMON_OPTS="-F 1 -x"\n',
    },
    { path: '/etc/systemd/system/chrony.service.d/lab.conf', mode: 0o644, content: fileOfLab('chrony-container.conf') },
    { path: '/root/.ssh/authorized_keys', mode: 0o600, content: key },
    { path: '/home/operator/.ssh/authorized_keys', mode: 0o600, content: key, owner: operator },
  ];
}

function cmsFiles(): readonly Placed[] {
  const owner = informix;
  return [
    { path: '/etc/nftables.conf', mode: 0o755, content: fileOfLab('nftables.conf') },
    { path: '/etc/systemd/system/ids.service', mode: 0o644, content: fileOfLab('ids.service') },
    { path: '/etc/systemd/system/cms.service', mode: 0o644, content: fileOfLab('cms.service') },
    { path: '/opt/informix/bin/ids-stand-in', mode: 0o755, content: fileOfLab('ids-stand-in') },
    { path: '/opt/informix/bin/dbaccess', mode: 0o755, content: fileOfLab('dbaccess-stand-in') },
    { path: '/opt/informix/stand-in/cms/sysusers', mode: 0o644, content: 'informix D\npublic C\n', owner },
    { path: '/opt/informix/etc/sqlhosts', mode: 0o644, content: fileOfLab('sqlhosts'), owner },
    { path: '/opt/informix/etc/onconfig.cms', mode: 0o644, content: fileOfLab('onconfig.cms'), owner },
    { path: '/cms/bin/cms-stand-in', mode: 0o755, content: fileOfLab('cms-stand-in') },
    { path: '/cms/bin/acd-link', mode: 0o755, content: fileOfLab('acd-link-stand-in') },
    { path: '/cms/install/release', mode: 0o644, content: fileOfLab('release') },
    { path: '/cms/install/data-storage', mode: 0o644, content: fileOfLab('data-storage') },
    { path: '/cms/install/security/OpenPorts', mode: 0o644, content: fileOfLab('OpenPorts') },
  ];
}

function probeFiles(): readonly Placed[] {
  return [{ path: '/etc/chrony/conf.d/time-server.conf', mode: 0o644, content: fileOfLab('chrony-probe.conf') }];
}

function hosts(server: LabServer): string {
  const own = `127.0.1.1\t${server.fqdn}\t${server.name}\n`;
  const others = serverNames.map((name) => `${labServers[name].address}\t${labServers[name].fqdn}\t${name}\n`).join('');
  return [
    '127.0.0.1\tlocalhost\n',
    server.kind === 'cms' ? own : others,
    '\n# The following lines are for IPv6 capable hosts\n',
    '::1     localhost ip6-localhost ip6-loopback\n',
    'ff02::1 ip6-allnodes\n',
    'ff02::2 ip6-allrouters\n',
    '\n# Ask the network team before you change this file.\n',
  ].join('');
}

function interfaces(server: LabServer): string {
  return [
    'auto lo\niface lo inet loopback\n\n',
    `auto host0\niface host0 inet static\n    address ${server.address}/${bridge.prefix}\n`,
  ].join('');
}

function rootLogin(name: ServerName, variant: Variant): 'yes' | 'no' {
  return name === 'cms2' && variant === 'no-root' ? 'no' : 'yes';
}

/** Sets PermitRootLogin where Debian's sshd_config has it commented out. */
function setSshd(rootFolder: string, value: 'yes' | 'no'): void {
  const path = join(rootFolder, 'etc/ssh/sshd_config');
  writeFileSync(path, readFileSync(path, 'utf8').replace(/^#PermitRootLogin .*$/m, `PermitRootLogin ${value}`));
}

function place(rootFolder: string, file: Placed): void {
  const path = join(rootFolder, file.path);
  const owner = file.owner ?? root;
  const folder = dirname(path);
  if (!existsSync(folder)) {
    mkdirSync(folder, { recursive: true, mode: 0o755 });
    chmodSync(folder, folder.endsWith('/.ssh') ? 0o700 : 0o755);
    chownSync(folder, owner.uid, owner.gid);
  }
  rmSync(path, { force: true });
  writeFileSync(path, file.content, { mode: file.mode });
  // The mode at creation is cut by this process's umask.
  chmodSync(path, file.mode);
  chownSync(path, owner.uid, owner.gid);
}

function fileOfLab(name: string): string {
  return readFileSync(join(import.meta.dirname, 'files', name), 'utf8');
}
