/** /root/.rhosts, rhosts(5) and ruserok(3): `host user`. A line that begins with `#` is a comment. */
import { insertLines, joinLines, type Line, splitLines, wordsOf } from './lines.ts';
import { markedBlock, removeMarks } from './marks.ts';

type TrustedUser = { readonly host: string; readonly user: string };
export type RhostsLine = Line & { readonly words: readonly string[] };
export type WantedRhosts = { readonly entries: readonly TrustedUser[] };

const readWords = (text: string): string[] => (text.startsWith('#') ? [] : wordsOf(text));

export const parse = (text: string): RhostsLine[] =>
  splitLines(text).map((line) => ({ ...line, words: readWords(line.text) }));

export const print = (doc: readonly Line[]): string => joinLines(doc);

export const undo = (text: string): string => removeMarks(text);

/** Whether a line trusts every host or every user (`+`, `host +`, `+@netgroup`). */
export const hasPlus = (text: string): boolean =>
  parse(text).some(({ words }) => words.slice(0, 2).some((word) => word.startsWith('+')));

/** The text with one line for each exact host and user. */
export const edit = (text: string, { entries }: WantedRhosts): string => {
  const doc = parse(undo(text));
  const missing = entries.filter(
    ({ host, user }) =>
      !doc.some(
        ({ words }) => words.length === 2 && words[0]?.toLowerCase() === host.toLowerCase() && words[1] === user,
      ),
  );
  if (missing.length === 0) return print(doc);
  return print(insertLines(doc, doc.length, markedBlock(missing.map(({ host, user }) => `${host} ${user}`))));
};
