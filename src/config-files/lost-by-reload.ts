import { lostValues } from './firewalld-settings.ts';
import { lostLines as lostOfIptables } from './iptables-ruleset.ts';
import { lostLines } from './nftables-ruleset.ts';

/** A firewall in force, and what it would be after a reload of its file, each as its program prints it. */
type InForce = {
  readonly nftRuleset: string;
  readonly iptables: string;
  readonly afterReload?: string;
  readonly firewalld?: { readonly now: string; readonly afterReload: string };
};

/** Firewalls whose file we manage, and have reloaded. */
export type Reloaded = 'nftables' | 'iptables' | 'firewalld';

/** What is in force, and would not be after a reload of the file; nothing where that could not be found out. */
export function lostRules(kind: Reloaded, { nftRuleset, iptables, afterReload, firewalld }: InForce): string[] {
  if (kind === 'firewalld') return firewalld ? lostValues(firewalld.now, firewalld.afterReload) : [];
  if (afterReload === undefined) return [];
  return kind === 'iptables' ? lostOfIptables(iptables, afterReload) : lostLines(nftRuleset, afterReload);
}

const places = (path: string) =>
  ({
    nftables: { files: path, load: `nft -f ${path}` },
    iptables: { files: path, load: `iptables-restore ${path}` },
    firewalld: { files: 'the files of firewalld (firewall-cmd --runtime-to-permanent)', load: 'firewall-cmd --reload' },
  }) as const;

/** What a person may do about what would be lost. */
export function remedyOfLoss(kind: Reloaded, path: string): string {
  const { files, load } = places(path)[kind];
  return `Write them into ${files}, stop what made them, or, if they are not wanted, have the files loaded: ${load}`;
}
