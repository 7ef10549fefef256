/** A permanent zone file of firewalld, firewalld.zone(5): rich rules in marked comments before `</zone>`. */
import { CmsadmError } from '../errors.ts';
import { isIpv6 } from './addresses.ts';
import { joinLines, type Line, splitLines } from './lines.ts';
import type { PeerPort } from './server.ts';

export type WantedZone = { readonly ports: readonly PeerPort[] };

export const parse = (text: string): Line[] => splitLines(text);

export const print = (doc: readonly Line[]): string => joinLines(doc);

const begin = '<!-- cmsadm begin -->';
const end = '<!-- cmsadm end -->';
const rule =
  '<rule family="ipv[46]"><source address="[^"]*"/><port port="\\d+" protocol="(?:tcp|udp)"/><accept/></rule>';
/** Whole lines with their indentation and ending. */
const ownLines = new RegExp(`^[ \\t]*${begin}\\r?\\n((?:[^\\n]*\\n)*?)[ \\t]*${end}\\r?\\n`, 'gm');
const ownWithinLine = new RegExp(`${begin}([^\\n]*?)${end}`, 'g');
const ruleLines = new RegExp(`^[ \\t]*${rule}[ \\t]*\\r?\\n`, 'gm');
const looseMarks = new RegExp(`^[ \\t]*(?:${begin}|${end})[ \\t]*\\r?\\n|${begin}|${end}`, 'gm');

/** The text without our rules and marks; what the administrator wrote between them stays. */
export const undo = (text: string): string =>
  text
    .replace(ownLines, (_, inside: string) => inside.replace(ruleLines, ''))
    .replace(ownWithinLine, (_, inside: string) => inside.replace(new RegExp(rule, 'g'), ''))
    .replace(looseMarks, '');

const ruleOf = ({ port, protocol, from }: PeerPort): string =>
  `<rule family="${isIpv6(from) ? 'ipv6' : 'ipv4'}"><source address="${from}"/><port port="${port}" protocol="${protocol}"/><accept/></rule>`;

/** Comments blanked out, so that what they hold is not taken for the zone; offsets stay. */
const withoutComments = (text: string): string =>
  text.replace(/<!--[\s\S]*?-->/g, (comment) => ' '.repeat(comment.length));

/** firewalld drops comments when it writes a zone itself: rules that are there, marked or not, are not added again. */
const isThere = (zone: string, port: PeerPort): boolean => zone.replace(/\s+(?=[<>/])/g, '').includes(ruleOf(port));

/** The text with a rich rule for each port. Throws CmsadmError `firewall-unreadable` with the rules to add by hand. */
export const edit = (text: string, { ports }: WantedZone): string => {
  const clean = undo(text);
  const zone = withoutComments(clean);
  const rules = ports.filter((port) => !isThere(zone, port)).map(ruleOf);
  if (rules.length === 0) return clean;
  const close = zone.lastIndexOf('</zone>');
  if (close === -1) {
    throw new CmsadmError('firewall-unreadable', 'The firewalld zone file has no closing zone element.', {
      remedy: 'Add these rules to the zone by hand, or write the zone file again with firewall-cmd.',
      details: rules,
    });
  }
  const lineStart = clean.lastIndexOf('\n', close) + 1;
  if (clean.slice(lineStart, close).trim() !== '' || lineStart === 0) {
    return clean.slice(0, close) + begin + rules.join('') + end + clean.slice(close);
  }
  const ending = clean[lineStart - 2] === '\r' ? '\r\n' : '\n';
  const block = [begin, ...rules, end];
  return clean.slice(0, lineStart) + block.map((line) => `  ${line}${ending}`).join('') + clean.slice(lineStart);
};
