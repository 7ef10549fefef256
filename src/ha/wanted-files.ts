import * as authorizedKeys from '../config-files/authorized-keys.ts';
import * as bashProfile from '../config-files/bash-profile.ts';
import * as chrony from '../config-files/chrony.ts';
import * as hosts from '../config-files/hosts.ts';
import * as knownHosts from '../config-files/known-hosts.ts';
import * as onconfig from '../config-files/onconfig.ts';
import * as openPorts from '../config-files/open-ports.ts';
import * as rhosts from '../config-files/rhosts.ts';
import type { Server } from '../config-files/server.ts';
import * as services from '../config-files/services.ts';
import * as sqlhosts from '../config-files/sqlhosts.ts';
import * as sshdConfig from '../config-files/sshd-config.ts';
import { accessNeeds, parseEffective, type Setting } from '../config-files/sshd-effective.ts';
import { CmsadmError } from '../errors.ts';
import type { PublicKey } from '../host/ssh-client.ts';
import type { Facts, ManagedFact } from '../pair/facts.ts';
import { type Link, type Pair, paths, printLink, printPair } from '../pair/state.ts';
import { fillIn, wordsOf } from '../pair/template.ts';
import type { Profile } from '../profile/schema.ts';
import type { UnitTexts } from './answers.ts';
import { closeFirewall, firewallInForce, openFirewall } from './firewall.ts';

/** Everything that the new contents of one server's files depend on. */
export type Wanted = {
  readonly profile: Profile;
  readonly facts: Facts;
  readonly own: Server;
  readonly other: Server;
  readonly otherPort: number;
  readonly otherHostKeys: readonly PublicKey[];
  /** The other server's pair key; undefined before it is made. */
  readonly otherKey: PublicKey | undefined;
  readonly ntpServer: string | null;
  readonly rhosts: boolean;
  readonly link: Link;
  readonly pair: Pair;
  readonly units: UnitTexts;
  /** Settings and site profile that the peer gets where it has none. */
  readonly settings: { readonly settings: string; readonly profile: string | undefined } | undefined;
};

/** Stands in the reviewed plan for a key that is made only after the `y`. */
const placeholderKey = (server: Server): PublicKey => ({
  type: 'ssh-ed25519',
  base64: `<public-key-of-${server.hostname},-made-at-apply>`,
});

/** New text of a managed file: equal text means that it stays; undefined that the file is not wanted at all. */
export function wantedText(file: ManagedFact, wanted: Wanted): string | undefined {
  const { row, fact } = file;
  const text = fact.state === 'file' ? fact.content : '';
  const { profile, own, other } = wanted;
  const present = fact.state === 'file' ? text : undefined;
  switch (row.kind) {
    case 'untouched':
    case 'administered':
    case 'pair_key':
      return present;
    case 'rendered':
      return rendered(file, own, other, wanted.pair.primary.address === own.address);
    case 'hosts':
      return hosts.edit(text, { own, servers: inOrder(own, other) });
    case 'services':
      return services.edit(text, {
        entries: profile.ports.map(({ name, port, protocol, purpose }) => ({ name, port, protocol, comment: purpose })),
      });
    case 'chrony':
      if (present === undefined) return undefined;
      return wanted.ntpServer === null ? chrony.undo(text) : chrony.edit(text, { server: wanted.ntpServer });
    case 'sqlhosts':
      return fact.state === 'file' ? sqlhosts.edit(text, { entries: databaseServers(profile, own, other) }) : undefined;
    case 'onconfig':
      return fact.state === 'file'
        ? onconfig.edit(text, { aliases: databaseServers(profile, own).map(({ name }) => name) })
        : undefined;
    case 'open_ports':
      return openPorts.edit(text, { ports: peerPorts(profile, other) });
    case 'nftables':
    case 'iptables':
    case 'firewalld':
      return fact.state === 'file'
        ? openFirewall(firewallInForce(profile, wanted.facts), text, peerPorts(profile, other))
        : undefined;
    case 'rhosts':
      if (wanted.rhosts && profile.rhostsUser !== undefined)
        return rhosts.edit(text, { entries: [{ host: other.fqdn, user: profile.rhostsUser }] });
      return present === undefined ? undefined : rhosts.undo(text);
    case 'bash_profile':
      return profile.bashProfile.length > 0 ? bashProfile.edit(text, { lines: loginLines(profile, text) }) : present;
    case 'known_hosts':
      return knownHosts.edit(text, { names: knownNames(other, wanted.otherPort), keys: wanted.otherHostKeys });
    case 'authorized_keys':
      return authorizedKeys.edit(text, {
        key: wanted.otherKey ?? placeholderKey(other),
        from: [...new Set([wanted.facts.seenFrom ?? other.address, other.address])],
        command: `${paths.command} peer`,
        comment: `cmsadm pair key of ${other.fqdn}`,
      });
    case 'sshd_config':
      return takesDropIns(wanted.facts) || present === undefined ? present : sshdText(wanted, text);
    case 'sshd_drop_in':
      return takesDropIns(wanted.facts) ? dropInText(wanted, present) : present;
    case 'settings':
      return present ?? wanted.settings?.settings;
    case 'profile':
      return present ?? wanted.settings?.profile;
    case 'unit':
      return row.path === paths.agentUnit ? wanted.units.agent : wanted.units.recover;
    case 'link':
      return printLink(wanted.link);
    case 'pair':
      return printPair(wanted.pair);
  }
}

/** The first line of each file that we render; `#` begins a comment in what such files are for. */
const HEADER = '# Made by cmsadm from the profile: edits here are replaced.\n';

/**
 * A file that is wholly ours, filled in for one server.
 * @throws CmsadmError file-foreign where somebody else's file has its name, template-refused
 */
export function rendered({ row, fact }: ManagedFact, own: Server, other: Server, isPrimary: boolean): string {
  if (fact.state === 'file' && !fact.content.startsWith(HEADER))
    throw new CmsadmError('file-foreign', `${row.path} was not made by cmsadm, and would be replaced as a whole.`, {
      file: row.path,
      remedy: `Move what it says into the profile and the file away: mv ${row.path} ${row.path}.old`,
    });
  // Contents are one character for each byte.
  const text = Buffer.from(row.text ?? '').toString('latin1');
  return HEADER + fillIn(text, wordsOf(own, other, isPrimary), row.path);
}

/** The same file on both servers and after a reversal: lines stand by address, not by role. */
const inOrder = (a: Server, b: Server): [Server, Server] => (a.address < b.address ? [a, b] : [b, a]);

// bash(1) reads .bash_profile instead of .profile: one that holds only our block must not hide it.
const loginLines = (profile: Profile, text: string): string[] => [
  ...(bashProfile.undo(text) === '' ? ['if [ -r ~/.profile ]; then . ~/.profile; fi'] : []),
  ...profile.bashProfile,
];

const knownNames = (other: Server, port: number): string[] =>
  port === 22 ? [other.fqdn, other.address] : [`[${other.fqdn}]:${port}`, `[${other.address}]:${port}`];

/** The pair's ports, opened for the other server only. */
export const peerPorts = (
  profile: Profile,
  other: Server,
): { port: number; protocol: 'tcp' | 'udp'; from: string; purpose: string }[] =>
  profile.ports.map(({ port, protocol, purpose }) => ({ port, protocol, from: other.address, purpose }));

function databaseServers(profile: Profile, ...servers: Server[]): sqlhosts.DatabaseServer[] {
  const { database } = profile;
  if (!database) return [];
  const byAddress = [...servers].sort((a, b) => (a.address < b.address ? -1 : 1));
  return byAddress.map((server) => ({
    // Informix names hold lower-case letters, digits and underscores only.
    name: `${database.serverPrefix}${server.hostname.toLowerCase().replaceAll('-', '_')}`,
    nettype: database.nettype,
    host: server.fqdn,
    service: database.port,
  }));
}

function takesDropIns(facts: Facts): boolean {
  const main = facts.files.find(({ row }) => row.kind === 'sshd_config')?.fact;
  return main?.state === 'file' && sshdConfig.includesDropIns(main.content, paths.sshdDropIns);
}

/** What root still lacks to come in from the other server; none where sshd was not asked. */
export const sshdNeeds = (wanted: Pick<Wanted, 'facts' | 'other'>): readonly Setting[] =>
  wanted.facts.sshd === undefined
    ? []
    : accessNeeds(parseEffective(wanted.facts.sshd), undefined, wanted.other.address);

// Settings that our own block holds already are kept: sshd's effective values contain them.
function settingsOf(wanted: Wanted, present: string | undefined): Setting[] {
  const needs = sshdNeeds(wanted);
  const held = [...(present ?? '').matchAll(/^ {4}(\w+) (.+)$/gm)].map(
    ([, keyword = '', value = '']): Setting => [keyword, value],
  );
  return [
    ...held.filter(([keyword]) => !needs.some(([other]) => other.toLowerCase() === keyword.toLowerCase())),
    ...needs,
  ];
}

function sshdText(wanted: Wanted, text: string): string {
  if (sshdNeeds(wanted).length === 0) return text;
  const block = /^# cmsadm begin.*\n([\s\S]*?)^# cmsadm end/m.exec(text)?.[0];
  return sshdConfig.edit(text, { address: wanted.other.address, settings: settingsOf(wanted, block) });
}

function dropInText(wanted: Wanted, present: string | undefined): string | undefined {
  if (sshdNeeds(wanted).length === 0) return present;
  return sshdConfig.renderDropIn({ address: wanted.other.address, settings: settingsOf(wanted, present) });
}

/** The text without anything that we ever put into it; undefined where the file is ours and goes away. */
export function undoneText(file: ManagedFact): string | undefined {
  const { row, fact } = file;
  if (fact.state !== 'file') return undefined;
  switch (row.kind) {
    case 'hosts':
      return hosts.undo(fact.content);
    case 'services':
      return services.undo(fact.content);
    case 'chrony':
      return chrony.undo(fact.content);
    case 'sqlhosts':
      return sqlhosts.undo(fact.content);
    case 'onconfig':
      return onconfig.undo(fact.content);
    case 'open_ports':
      return openPorts.undo(fact.content);
    case 'nftables':
    case 'iptables':
    case 'firewalld':
      return closeFirewall(row.kind, fact.content);
    case 'rhosts':
      return rhosts.undo(fact.content);
    case 'bash_profile':
      return bashProfile.undo(fact.content);
    case 'known_hosts':
      return knownHosts.undo(fact.content);
    case 'authorized_keys':
      return authorizedKeys.undo(fact.content);
    case 'sshd_config':
      return sshdConfig.undo(fact.content);
    case 'untouched':
      return fact.content;
    case 'rendered':
      return fact.content.startsWith(HEADER) ? undefined : fact.content;
    case 'settings':
    case 'profile':
      return fact.content;
    default:
      return undefined;
  }
}
