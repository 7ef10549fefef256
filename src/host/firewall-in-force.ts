import { CmsadmError } from '../errors.ts';
import { run } from './processes.ts';
import type { FirewallInForce } from './system.ts';

/**
 * Asks everything in one program: starting one takes longer than what most of these do. After what each says come its
 * exit code and a NUL on either side.
 *
 * Last, where a file is given, the rules in force are loaded into a network namespace of their own and then the file on top of
 * them: what a reload would bring about, whatever the file flushes and includes. Nothing of this server's own network is
 * touched. (nft(8), unshare(1); interfaces that a rule names by index do not exist there, which ends it without an answer)
 * A file that begins with a flush says by itself what there will be, and is told in half the time.
 */
const ASK = `
said() { printf '\\0%d\\0' $?; }
firewalld=$(systemctl is-active firewalld); echo "$firewalld"; said
nft -s list ruleset; said
iptables-save -t filter; said
[ "$firewalld" = active ] && firewall-cmd --list-all-zones; said
[ "$firewalld" = active ] && firewall-cmd --permanent --list-all-zones; said
[ -n "$1" ] || exit 0
first=
while read -r first; do case $first in '' | '#'*) ;; *) break ;; esac; done < "$1"
if [ "$first" = 'flush ruleset' ]; then unshare --net -- sh -c 'nft -f "$1" && nft -s list ruleset' sh "$1"
else nft -s list ruleset | unshare --net -- sh -c 'nft -f - && nft -f "$1" && nft -s list ruleset' sh "$1"
fi; said
`;

/** The firewall as it is in force. @param nftables the file that nftables reads, where its reload is asked for */
export async function firewall(nftables: string | undefined): Promise<FirewallInForce> {
  const { stdout, exitCode } = await run(['sh', '-c', ASK, 'sh', nftables ?? '']);
  // Ended by the time limit or a signal: nothing heard is not nothing there.
  if (exitCode !== 0)
    throw new CmsadmError('firewall-unreadable', 'The firewall in force could not be read in time.', {
      remedy: 'Try `nft list ruleset` and `iptables-save` there, then run the command again.',
    });
  return parseFirewall(stdout);
}

/** Reads what the programs said; it counts only where they ended well. */
export function parseFirewall(text: string): FirewallInForce {
  const said = text.split('\0');
  const told = (place: number): string | undefined => (said[2 * place + 1] === '0' ? said[2 * place] : undefined);
  const [firewalld, nftRuleset = '', iptables = '', zones, permanent, afterReload] = [0, 1, 2, 3, 4, 5].map(told);
  return {
    firewalldActive: firewalld?.trim() === 'active',
    nftRuleset,
    iptables,
    ...(zones === undefined || permanent === undefined ? {} : { firewalld: { now: zones, afterReload: permanent } }),
    ...(afterReload === undefined ? {} : { afterReload }),
  };
}
