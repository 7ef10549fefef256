import * as firewalldZone from '../config-files/firewalld-zone.ts';
import * as iptablesRules from '../config-files/iptables-rules.ts';
import * as nftables from '../config-files/nftables.ts';
import type { PeerPort } from '../config-files/server.ts';
import type { Facts } from '../pair/facts.ts';
import type { Profile } from '../profile/schema.ts';

export type FirewallKind = 'none' | 'nftables' | 'iptables' | 'firewalld' | 'unknown';

/**
 * The firewall in force, judged by what the kernel drops and by the file that the profile's adapter manages. An accept
 * in a table of our own would open nothing, so a drop that no managed file explains is `unknown`.
 */
export function firewallInForce(profile: Profile, facts: Facts): FirewallKind {
  const { adapter, path } = profile.firewall[facts.family];
  const { firewalldActive, nftRuleset, iptables } = facts.firewall;
  if (firewalldActive) return adapter === 'firewalld' ? 'firewalld' : 'unknown';
  const drops = nftables.inputDrops(nftRuleset) || iptablesRules.inputDrops(iptables);
  if (!drops) return 'none';
  const file = facts.files.find(({ row }) => row.path === path)?.fact;
  if (file?.state !== 'file') return 'unknown';
  if (adapter === 'nftables' && nftables.inputDrops(file.content)) return 'nftables';
  // The rules file of iptables is for IPv4 only.
  const ipv4 = !(facts.routeSource ?? '').includes(':');
  if (adapter === 'iptables' && ipv4 && iptablesRules.inputDrops(file.content)) return 'iptables';
  return 'unknown';
}

/**
 * Tables that only the kernel holds (fail2ban, containers): a reload of a file that flushes the ruleset drops them.
 * @returns their names, none where the file does not flush
 */
export function tablesLostByReload(profile: Profile, facts: Facts): string[] {
  const file = facts.files.find(({ row }) => row.path === profile.firewall[facts.family].path)?.fact;
  if (firewallInForce(profile, facts) !== 'nftables' || file?.state !== 'file') return [];
  if (!/^\s*flush\s+ruleset/m.test(file.content)) return [];
  const tables = (text: string): string[] =>
    [...text.matchAll(/^\s*(?:add\s+)?table\s+(?:(ip6?|inet|arp|bridge|netdev)\s+)?([\w-]+)\s*\{/gm)].map(
      ([, family = 'ip', name]) => `${family} ${name}`,
    );
  const written = tables(file.content);
  return tables(facts.firewall.nftRuleset).filter((table) => !written.includes(table));
}

/** The text of the firewall's file with the pair's ports open for the peer only. */
export function openFirewall(kind: FirewallKind, text: string, ports: readonly PeerPort[]): string {
  if (kind === 'nftables') return nftables.edit(text, { ports });
  if (kind === 'iptables') return iptablesRules.edit(text, { ports });
  if (kind === 'firewalld') return firewalldZone.edit(text, { ports });
  return text;
}

/** What a person has to add by hand where the firewall is unknown to us. */
export const linesToAdd = (ports: readonly PeerPort[]): string[] =>
  ports.map(({ port, protocol, from }) => `accept ${protocol} port ${port} from ${from}`);

/** The firewall's file without our lines. */
export function closeFirewall(kind: 'nftables' | 'iptables' | 'firewalld', text: string): string {
  if (kind === 'nftables') return nftables.undo(text);
  return kind === 'iptables' ? iptablesRules.undo(text) : firewalldZone.undo(text);
}
