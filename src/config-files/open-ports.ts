/** The product's list of open ports, read by its firewall script: `port/protocol source # purpose`. */
import { sameAddress } from './addresses.ts';
import { insertLines, joinLines, type Line, splitLines, wordsOf } from './lines.ts';
import { markedLine, removeMarks } from './marks.ts';
import type { PeerPort } from './server.ts';

type OpenPortsLine = Line & { readonly entry: PeerPort | undefined };
export type WantedOpenPorts = { readonly ports: readonly (PeerPort & { readonly purpose: string })[] };

const readEntry = (text: string): PeerPort | undefined => {
  const [at = '', from, ...more] = wordsOf(text.split('#', 1)[0] ?? '');
  const [, port, protocol] = /^(\d{1,5})\/(tcp|udp)$/i.exec(at) ?? [];
  if (port === undefined || protocol === undefined || from === undefined || more.length > 0) return undefined;
  return { port: Number(port), protocol: protocol.toLowerCase() === 'tcp' ? 'tcp' : 'udp', from };
};

export const parse = (text: string): OpenPortsLine[] =>
  splitLines(text).map((line) => ({ ...line, entry: readEntry(line.text) }));

export const print = (doc: readonly Line[]): string => joinLines(doc);

export const undo = (text: string): string => removeMarks(text);

const opens = (entry: PeerPort | undefined, { port, protocol, from }: PeerPort): boolean =>
  entry?.port === port && entry.protocol === protocol && (entry.from === 'any' || sameAddress(entry.from, from));

/** The text with a line for each wanted port that no line opens yet for that address. */
export const edit = (text: string, { ports }: WantedOpenPorts): string => {
  const doc = parse(undo(text));
  const missing = ports.filter((wanted) => !doc.some(({ entry }) => opens(entry, wanted)));
  const texts = missing.map(({ port, protocol, from, purpose }) =>
    markedLine(`${port}/${protocol}  ${from}  # ${purpose}`),
  );
  return print(insertLines(doc, doc.length, texts));
};
