/** /etc/hosts, hosts(5): `address canonical-name aliases… # comment`. */
import { CmsadmError } from '../errors.ts';
import { addressValue, isIpv6, isLoopback, sameAddress } from './addresses.ts';
import { insertLines, joinLines, type Line, splitLines, wordsOf } from './lines.ts';
import { markedLine, removeMarks, replaceLine } from './marks.ts';
import type { Server } from './server.ts';

export type HostsEntry = { readonly address: string; readonly names: readonly string[]; readonly comment: string };
export type HostsLine = Line & { readonly entry: HostsEntry | undefined };
export type WantedHosts = { readonly own: Server; readonly servers: readonly [Server, Server] };

/** An address without a name is skipped by the resolver; so is what does not begin with an address. */
const readEntry = (text: string): HostsEntry | undefined => {
  const hash = text.indexOf('#');
  const [address, ...names] = wordsOf(hash === -1 ? text : text.slice(0, hash));
  if (address === undefined || names.length === 0 || addressValue(address) === undefined) return undefined;
  return { address, names, comment: hash === -1 ? '' : text.slice(hash) };
};

export const parse = (text: string): HostsLine[] =>
  splitLines(text).map((line) => ({ ...line, entry: readEntry(line.text) }));

export const print = (doc: readonly Line[]): string => joinLines(doc);

export const undo = (text: string): string => removeMarks(text);

const sameName = (left: string | undefined, right: string): boolean => left?.toLowerCase() === right.toLowerCase();
const isNameOf = (server: Server, name: string): boolean =>
  sameName(name, server.fqdn) || sameName(name, server.hostname);
const names = (entry: HostsEntry, server: Server): boolean => entry.names.some((name) => isNameOf(server, name));

const entriesOf = (doc: readonly HostsLine[]): HostsEntry[] => doc.flatMap(({ entry }) => entry ?? []);

/** A loopback line that is not the address of a server of the pair (in a rehearsal it may be). */
const isPlainLoopback = (address: string, servers: readonly Server[]): boolean =>
  isLoopback(address) && !servers.some((server) => sameAddress(server.address, address));

/**
 * What the file says against the pair, one sentence each: a server's name on another address of the same family,
 * or a server's address that has only other names. Loopback lines with the name of `own` are none, since `edit`
 * settles them; without `own`, those of either server.
 */
export const findContradictions = (text: string, servers: readonly Server[], own?: Server): string[] => {
  const entries = entriesOf(parse(text));
  return servers.flatMap((server) => {
    const found: string[] = [];
    const mayLoop = own === undefined || sameAddress(own.address, server.address);
    for (const entry of entries) {
      if (!names(entry, server) || sameAddress(entry.address, server.address)) continue;
      if (isPlainLoopback(entry.address, servers) ? mayLoop : isIpv6(entry.address) !== isIpv6(server.address))
        continue;
      const name = entry.names.find((candidate) => isNameOf(server, candidate)) ?? server.fqdn;
      found.push(`${name} has the address ${entry.address}, not ${server.address}.`);
    }
    const atAddress = entries.filter((entry) => sameAddress(entry.address, server.address));
    if (atAddress.length > 0 && !atAddress.some((entry) => names(entry, server))) {
      const others = atAddress.flatMap((entry) => entry.names).join(' ');
      found.push(`${server.address} has the names ${others}, not ${server.fqdn} ${server.hostname}.`);
    }
    return found;
  });
};

const ownNames = ({ fqdn, hostname }: Server): string[] => (sameName(fqdn, hostname) ? [fqdn] : [fqdn, hostname]);

const isRight = (entry: HostsEntry, server: Server): boolean =>
  ownNames(server).every((name, index) => sameName(entry.names[index], name));

const ourLine = (address: string, hostNames: readonly string[], comment = ''): string =>
  markedLine([address, ...hostNames, ...(comment === '' ? [] : [comment.replace(/[ \t\r]+$/, '')])].join(' '));

/** Takes this server's name off the loopback lines; other names on them stay, on a line of ours. */
const clearLoopback = (doc: readonly HostsLine[], { own, servers }: WantedHosts): Line[] => {
  let lines: Line[] = [...doc];
  for (const [index, { entry }] of [...doc.entries()].reverse()) {
    if (!entry || !isPlainLoopback(entry.address, servers) || !names(entry, own)) continue;
    const others = entry.names.filter((name) => !isNameOf(own, name));
    lines = replaceLine(lines, index, others.length === 0 ? [] : [ourLine(entry.address, others, entry.comment)]);
  }
  return lines;
};

const placeServer = (doc: readonly HostsLine[], server: Server): Line[] => {
  const about = [...doc.entries()].flatMap(([index, { entry }]) =>
    entry && sameAddress(entry.address, server.address) && names(entry, server) ? [{ index, entry }] : [],
  );
  const first = about[0];
  if (!first) return insertLines(doc, doc.length, [ourLine(server.address, ownNames(server))]);
  const right = about.find(({ entry }) => isRight(entry, server));
  const wrong = about.filter((line) => line !== right);
  const kept = new Set(right?.entry.names.map((name) => name.toLowerCase()) ?? []);
  const others = wrong
    .flatMap(({ entry }) => entry.names)
    .filter((name) => {
      const isNew = !isNameOf(server, name) && !kept.has(name.toLowerCase());
      kept.add(name.toLowerCase());
      return isNew;
    });
  const hostNames = right ? others : [...ownNames(server), ...others];
  const added = hostNames.length === 0 ? [] : [ourLine(server.address, hostNames, right ? '' : first.entry.comment)];
  // From below, so that the numbers above stay true; the new line stands where the first one gave way.
  let lines: Line[] = [...doc];
  for (const line of wrong.toReversed()) lines = replaceLine(lines, line.index, line === wrong[0] ? added : []);
  return lines;
};

/**
 * The text with one line for each server, `address fqdn hostname aliases…`, found by its address. A right line
 * stays untouched; a wrong one gives way. Throws CmsadmError `hosts-contradiction`.
 */
export const edit = (text: string, wanted: WantedHosts): string => {
  const clean = undo(text);
  const contradictions = findContradictions(clean, wanted.servers, wanted.own);
  if (contradictions.length > 0) {
    throw new CmsadmError('hosts-contradiction', 'The hosts file contradicts the pair.', {
      remedy: 'Correct or remove these lines of the hosts file, then run the command again.',
      details: contradictions,
    });
  }
  let result = print(clearLoopback(parse(clean), wanted));
  for (const server of wanted.servers) result = print(placeServer(parse(result), server));
  return result;
};
