/** Every kind of file with sample values to set: for `npm run corpus` and the tests of the laws. */
import * as authorizedKeys from './authorized-keys.ts';
import * as bashProfile from './bash-profile.ts';
import * as chrony from './chrony.ts';
import * as firewalldZone from './firewalld-zone.ts';
import * as hosts from './hosts.ts';
import * as iptablesRules from './iptables-rules.ts';
import * as knownHosts from './known-hosts.ts';
import * as nftables from './nftables.ts';
import * as onconfig from './onconfig.ts';
import * as openPorts from './open-ports.ts';
import * as rhosts from './rhosts.ts';
import type { PeerPort, Server } from './server.ts';
import * as services from './services.ts';
import * as sqlhosts from './sqlhosts.ts';
import * as sshdConfig from './sshd-config.ts';

export type Kind = {
  /** `print(parse(text))` */
  readonly reprint: (text: string) => string;
  readonly undo: (text: string) => string;
  /** Two edits with different values: each alone, and one after the other. */
  readonly edit: (text: string) => string;
  readonly editOtherwise: (text: string) => string;
};

/** What every editor offers besides its readers. */
type Editor<Wanted> = {
  /** The text with the wanted values in it, the same text if nothing is to be done. Throws CmsadmError to refuse. */
  readonly edit: (text: string, wanted: Wanted) => string;
  /** The text as it was before any edit: our lines gone, those that gave way back, all others as they are now. */
  readonly undo: (text: string) => string;
};

/** `print(parse(text))` is `text`, whatever its bytes; `parse` reads latin1, a character for each byte. */
const kind = <Doc, Wanted>(
  parse: (text: string) => Doc,
  print: (doc: Doc) => string,
  { edit, undo }: Editor<Wanted>,
  wanted: Wanted,
  other: Wanted,
): Kind => ({
  reprint: (text) => print(parse(text)),
  undo,
  edit: (text) => edit(text, wanted),
  editOtherwise: (text) => edit(text, other),
});

// Documentation addresses (RFC 5737, RFC 3849): no real file holds them.
const own: Server = { address: '192.0.2.11', fqdn: 'cms1.pair.example', hostname: 'cms1' };
const peer: Server = { address: '192.0.2.12', fqdn: 'cms2.pair.example', hostname: 'cms2' };
const otherPeer: Server = { address: '2001:db8::12', fqdn: 'cms3.pair.example', hostname: 'cms3' };

const ports = (from: string): PeerPort[] => [
  { port: 6791, protocol: 'tcp', from },
  { port: 6792, protocol: 'udp', from },
];
const database = (number: number) => ({
  name: `cms_pair_${number}`,
  nettype: 'onsoctcp',
  host: `cms${number}`,
  service: 'cms_pair',
});
const key = (letter: string) => ({ type: 'ssh-ed25519', base64: `AAAAC3NzaC1lZDI1NTE5AAAAI${letter.repeat(43)}` });

const openPortsOf = ({ address }: Server) => ports(address).map((port) => ({ ...port, purpose: 'pair' }));
const access = (from: readonly string[], letter: string) => ({
  key: key(letter),
  from,
  command: '/usr/local/sbin/cmsadm peer',
  comment: 'cmsadm pair key of cms2.example.com',
});

/** By the name that the corpus' folders have. */
export const kinds: ReadonlyMap<string, Kind> = new Map([
  ['hosts', kind(hosts.parse, hosts.print, hosts, { own, servers: [own, peer] }, { own, servers: [own, otherPeer] })],
  [
    'services',
    kind(
      services.parse,
      services.print,
      services,
      { entries: [{ name: 'cmspair-hb', port: 49_151, protocol: 'udp', comment: 'heartbeat of the pair' }] },
      { entries: [{ name: 'cmspair-db', port: 49_150, protocol: 'tcp', aliases: ['cmspair_db'] }] },
    ),
  ],
  ['chrony', kind(chrony.parse, chrony.print, chrony, { server: '192.0.2.20' }, { server: '2001:db8::20' })],
  [
    'sshd_config',
    kind(
      sshdConfig.parse,
      sshdConfig.print,
      sshdConfig,
      { address: peer.address, settings: [['PermitRootLogin', 'forced-commands-only']] },
      {
        address: otherPeer.address,
        settings: [
          ['AllowUsers', 'root'],
          ['PubkeyAuthentication', 'yes'],
        ],
      },
    ),
  ],
  [
    'sqlhosts',
    kind(sqlhosts.parse, sqlhosts.print, sqlhosts, { entries: [database(1), database(2)] }, { entries: [database(3)] }),
  ],
  [
    'onconfig',
    kind(
      onconfig.parse,
      onconfig.print,
      onconfig,
      { aliases: ['cms_pair_1'] },
      { aliases: ['cms_pair_2', 'cms_pair_3'] },
    ),
  ],
  [
    'open_ports',
    kind(openPorts.parse, openPorts.print, openPorts, { ports: openPortsOf(peer) }, { ports: openPortsOf(otherPeer) }),
  ],
  [
    'nftables',
    kind(nftables.parse, nftables.print, nftables, { ports: ports(peer.address) }, { ports: ports(otherPeer.address) }),
  ],
  [
    'iptables',
    kind(
      iptablesRules.parse,
      iptablesRules.print,
      iptablesRules,
      { ports: ports(peer.address) },
      { ports: ports('192.0.2.13') },
    ),
  ],
  [
    'firewalld',
    kind(
      firewalldZone.parse,
      firewalldZone.print,
      firewalldZone,
      { ports: ports(peer.address) },
      { ports: ports(otherPeer.address) },
    ),
  ],
  [
    'rhosts',
    kind(
      rhosts.parse,
      rhosts.print,
      rhosts,
      { entries: [{ host: 'cms2', user: 'root' }] },
      { entries: [{ host: 'cms3', user: 'root' }] },
    ),
  ],
  [
    'known_hosts',
    kind(
      knownHosts.parse,
      knownHosts.print,
      knownHosts,
      { names: [peer.fqdn, peer.address], keys: [key('A')] },
      { names: [otherPeer.fqdn, `[${otherPeer.address}]:2222`], keys: [key('B')] },
    ),
  ],
  [
    'authorized_keys',
    kind(
      authorizedKeys.parse,
      authorizedKeys.print,
      authorizedKeys,
      access([peer.address], 'C'),
      access(['192.0.2.13', otherPeer.address], 'D'),
    ),
  ],
  [
    'bash_profile',
    kind(
      bashProfile.parse,
      bashProfile.print,
      bashProfile,
      { lines: ['PATH=$PATH:/opt/cmsadm/current/bin', 'export PATH'] },
      { lines: ['export CMSADM=1'] },
    ),
  ],
]);
