import * as firewalldZone from '../config-files/firewalld-zone.ts';
import * as iptablesRules from '../config-files/iptables-rules.ts';
import { lostRules } from '../config-files/lost-by-reload.ts';
import * as nftables from '../config-files/nftables.ts';
import { tablesOf } from '../config-files/nftables-ruleset.ts';
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
  if (adapter === 'nftables' && nftables.inputDrops(file.content))
    return foreignDrops(profile, facts).length === 0 ? 'nftables' : 'unknown';
  // The rules file of iptables is for IPv4 only.
  const ipv4 = !(facts.routeSource ?? '').includes(':');
  if (adapter === 'iptables' && ipv4 && iptablesRules.inputDrops(file.content)) return 'iptables';
  return 'unknown';
}

/** Tables of nftables that drop incoming traffic and are not in the file that we manage: nothing in it opens them. */
export function foreignDrops(profile: Profile, facts: Facts): string[] {
  const { adapter, path } = profile.firewall[facts.family];
  const file = facts.files.find(({ row }) => row.path === path)?.fact;
  if (adapter !== 'nftables' || file?.state !== 'file') return [];
  const known = nftables.droppingTables(file.content);
  return nftables.droppingTables(facts.firewall.nftRuleset).filter((table) => !known.includes(table));
}

/**
 * What a reload of the firewall's file as it is now would take out of the kernel: rules that were only ever put there,
 * tables that other programs made (fail2ban, containers), and what an edit that was not loaded yet leaves out.
 * @returns tables by family and name; rules by table and chain, or by zone and setting
 */
export function lostByReload(profile: Profile, facts: Facts): { readonly tables: string[]; readonly rules: string[] } {
  const file = facts.files.find(({ row }) => row.path === profile.firewall[facts.family].path)?.fact;
  const kind = firewallInForce(profile, facts);
  if (kind === 'none' || kind === 'unknown' || file?.state !== 'file') return { tables: [], rules: [] };
  const rules = lostRules(kind, facts.firewall);
  if (kind !== 'nftables') return { tables: [], rules };
  const { nftRuleset, afterReload } = facts.firewall;
  // Where nobody could find out what a reload does, the file's own tables are compared.
  const flushes = afterReload !== undefined || /^\s*flush\s+ruleset/m.test(file.content);
  const stays = tablesOf(afterReload ?? file.content);
  const tables = tablesOf(nftRuleset).filter((table) => flushes && !stays.includes(table));
  const isOfThem = (line: string): boolean => tables.some((table) => `${line}: `.startsWith(`table ${table}: `));
  return { tables, rules: rules.filter((line) => !isOfThem(line)) };
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
