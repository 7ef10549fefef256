import { CmsadmError } from '../errors.ts';
import { run } from './processes.ts';
import type { FirewallFile, FirewallInForce } from './system.ts';

/**
 * Asks everything in one program: starting one takes longer than what most of these do. After what each says come its
 * exit code and a NUL on either side.
 *
 * Last, where a file is given, the rules in force are loaded into a network namespace of their own and then the file on top of
 * them: what a reload would bring about, whatever the file flushes and includes. Nothing of this server's own network is
 * touched. (nft(8), iptables-restore(8), unshare(1); interfaces that a rule names by index do not exist there, which ends it without an answer)
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
if [ "$1" = iptables ]; then
  iptables-save -t filter | unshare --net -- sh -c \
    'iptables-restore -w 5 && iptables-restore -w 5 "$1" && iptables-save -t filter' sh "$2"
  said; exit 0
fi
first=
while read -r first; do case $first in '' | '#'*) ;; *) break ;; esac; done < "$2"
if [ "$first" = 'flush ruleset' ]; then unshare --net -- sh -c 'nft -f "$1" && nft -s list ruleset' sh "$2"
else nft -s list ruleset | unshare --net -- sh -c 'nft -f - && nft -f "$1" && nft -s list ruleset' sh "$2"
fi; said
`;

/** The firewall as it is in force. @param file what nft(8) or iptables-restore(8) reads, where its reload is asked for */
export async function firewall(file: FirewallFile | undefined): Promise<FirewallInForce> {
  const { stdout, exitCode } = await run(['sh', '-c', ASK, 'sh', file?.adapter ?? '', file?.path ?? '']);
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
