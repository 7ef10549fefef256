/** /etc/nftables.conf, nft(8): our accept rules at the top of every input chain that drops. */
import { CmsadmError } from '../errors.ts';
import { isIpv6 } from './addresses.ts';
import { insertLines, joinLines, type Line, splitLines } from './lines.ts';
import { giveWay, markedBlock, removeMarks } from './marks.ts';
import { type InputChain, readInputChains } from './nftables-chains.ts';
import type { PeerPort } from './server.ts';

export type WantedPorts = { readonly ports: readonly PeerPort[] };

export const parse = (text: string): Line[] => splitLines(text);

export const print = (doc: readonly Line[]): string => joinLines(doc);

export const undo = (text: string): string => removeMarks(text);

const ruleOf = ({ port, protocol, from }: PeerPort): string =>
  `${isIpv6(from) ? 'ip6' : 'ip'} saddr ${from} ${protocol} dport ${port} accept`;

const rulesFor = (chain: InputChain, ports: readonly PeerPort[]): string[] =>
  ports
    .filter(({ from }) => chain.family === 'inet' || (chain.family === 'ip6') === isIpv6(from))
    .map((port) => ruleOf(port));

/** Line number and column of an offset, and that line's text. */
const positionOf = (doc: readonly Line[], offset: number): { row: number; column: number; text: string } => {
  let start = 0;
  for (const [row, { text, end }] of doc.entries()) {
    const next = start + text.length + end.length;
    if (offset < next || row === doc.length - 1) return { row, column: offset - start, text };
    start = next;
  }
  return { row: 0, column: 0, text: '' };
};

const unreadable = (why: string, ports: readonly PeerPort[]): CmsadmError =>
  new CmsadmError('firewall-unreadable', `The nftables file can not be edited safely: ${why}.`, {
    remedy: 'Add these lines by hand, as the first rules of the input chain, or simplify the file.',
    details: ports.map(ruleOf),
  });

const chainsThatDrop = (text: string, ports: readonly PeerPort[]): InputChain[] => {
  try {
    return readInputChains(text).filter((chain) => chain.drops);
  } catch (cause) {
    if (cause instanceof SyntaxError) throw unreadable(cause.message, ports);
    throw cause;
  }
};

/**
 * Whether an input chain of the file drops or rejects what no rule of it accepts. Throws CmsadmError
 * `firewall-unreadable`.
 */
export const inputDrops = (text: string): boolean => chainsThatDrop(text, []).length > 0;

/** The tables, by family and name, whose input chains drop or reject. Throws CmsadmError `firewall-unreadable`. */
export const droppingTables = (text: string): string[] => [
  ...new Set(chainsThatDrop(text, []).map(({ family, table }) => `${family} ${table}`)),
];

/**
 * Where the rest of the hook's line holds nothing but a policy or a comment, the block goes behind the line. Else the
 * line gives way and the block holds it, cut in two around the rules.
 */
const openChain = (doc: readonly Line[], chain: InputChain, rules: readonly string[]): Line[] => {
  const { row, column, text } = positionOf(doc, chain.rulesAt);
  const indent = /^[ \t]*/.exec(text)?.[0] ?? '';
  const rest = text.slice(column);
  if (/^[ \t\r]*(policy[ \t]+\w+[ \t]*;?[ \t\r]*)?(#.*)?$/s.test(rest)) {
    return insertLines(
      doc,
      row + 1,
      markedBlock(
        rules.map((rule) => indent + rule),
        indent,
      ),
    );
  }
  const pieces = [text.slice(0, column), ...rules.map((rule) => `${indent}    ${rule}`), indent + rest.trimStart()];
  const block = markedBlock(pieces, indent);
  // nft refuses a file whose last line is a comment without newline. The digests find the block without its end.
  const isLast = row === doc.length - 1 && doc[row]?.end === '';
  const commented = doc.map((line, index) => (index === row ? giveWay(line) : line));
  return insertLines(commented, row + 1, isLast ? block.slice(0, -1) : block);
};

/**
 * The text with the ports open for their addresses in every dropping input chain of the right family. Nothing is to
 * be done where no chain drops. Throws CmsadmError `firewall-unreadable` with the lines to add by hand.
 */
export const edit = (text: string, { ports }: WantedPorts): string => {
  const clean = undo(text);
  const chains = chainsThatDrop(clean, ports);
  let doc = parse(clean);
  const rows = chains.map((chain) => positionOf(doc, chain.rulesAt).row);
  if (new Set(rows).size < rows.length) throw unreadable('two input chains share a line', ports);
  // From below, so that the offsets above stay true.
  for (const chain of chains.toReversed()) {
    const rules = rulesFor(chain, ports);
    if (rules.length === 0) continue;
    const { row } = positionOf(doc, chain.rulesAt);
    if (doc[row - 1]?.text.endsWith('\\')) throw unreadable('an input chain begins on a continued line', ports);
    doc = openChain(doc, chain, rules);
  }
  return print(doc);
};
