import * as hosts from '../config-files/hosts.ts';

/**
 * This server's FQDN as its hosts file tells it: the dotted name on the line of its address, else on Debian's 127.0.1.1
 * line, else the kernel's host name if that is dotted.
 */
export function ownFqdn(hostsText: string, address: string | undefined, hostname: string): string | undefined {
  const entries = hosts.parse(hostsText).flatMap(({ entry }) => (entry ? [entry] : []));
  const dotted = (where: string): string | undefined =>
    entries
      .find((entry) => entry.address === where)
      ?.names.find((name) => name.includes('.') && !name.startsWith('localhost.'));
  const found =
    (address === undefined ? undefined : dotted(address)) ??
    dotted('127.0.1.1') ??
    (hostname.includes('.') ? hostname : undefined);
  return found?.toLowerCase();
}
