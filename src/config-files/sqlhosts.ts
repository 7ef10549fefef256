/** Informix sqlhosts: `dbservername nettype host service [options]`; comments stand on lines of their own. */
import { CmsadmError } from '../errors.ts';
import { insertLines, joinLines, type Line, splitLines, wordsOf } from './lines.ts';
import { markedBlock, removeMarks } from './marks.ts';

export type DatabaseServer = {
  readonly name: string;
  readonly nettype: string;
  readonly host: string;
  readonly service: string;
};
export type SqlhostsLine = Line & { readonly entry: (DatabaseServer & { readonly options: string }) | undefined };
export type WantedSqlhosts = { readonly entries: readonly DatabaseServer[] };

const readEntry = (text: string): SqlhostsLine['entry'] => {
  const [name, nettype, host, service, ...options] = wordsOf(text);
  if (name === undefined || name.startsWith('#')) return undefined;
  if (nettype === undefined || host === undefined || service === undefined) return undefined;
  return { name, nettype, host, service, options: options.join(' ') };
};

export const parse = (text: string): SqlhostsLine[] =>
  splitLines(text).map((line) => ({ ...line, entry: readEntry(line.text) }));

export const print = (doc: readonly Line[]): string => joinLines(doc);

export const undo = (text: string): string => removeMarks(text);

const columns = ({ name, nettype, host, service }: DatabaseServer): string => [name, nettype, host, service].join('\t');

const isSame = (left: DatabaseServer, right: DatabaseServer): boolean =>
  left.nettype === right.nettype &&
  left.host.toLowerCase() === right.host.toLowerCase() &&
  left.service === right.service;

/**
 * The text with the wanted database servers. Groups, their members' options and every other entry stay.
 * Throws CmsadmError `sqlhosts-taken` where a wanted name stands for something else.
 */
export const edit = (text: string, wanted: WantedSqlhosts): string => {
  const doc = parse(undo(text));
  const entries = doc.flatMap(({ entry }) => entry ?? []);
  const conflicts = wanted.entries.flatMap((server) =>
    entries
      .filter((entry) => entry.name === server.name && !isSame(entry, server))
      .map(
        (entry) =>
          `${server.name} is ${entry.nettype} ${entry.host} ${entry.service}, not ${server.nettype} ${server.host} ${server.service}.`,
      ),
  );
  if (conflicts.length > 0) {
    throw new CmsadmError('sqlhosts-taken', 'A database server name of the pair stands for another server.', {
      remedy: 'Rename or remove the entry in sqlhosts, or choose other names in the profile.',
      details: conflicts,
    });
  }
  const missing = wanted.entries.filter(({ name }) => !entries.some((entry) => entry.name === name));
  if (missing.length === 0) return print(doc);
  return print(insertLines(doc, doc.length, markedBlock(missing.map(columns))));
};
