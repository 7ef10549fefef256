/** chrony.conf(5). It has no trailing comments: a `#` behind a directive is an error to chronyd. */
import { sameAddress } from './addresses.ts';
import { insertLines, joinLines, type Line, splitLines, wordsOf } from './lines.ts';
import { markedBlock, removeMarks } from './marks.ts';

export type ChronyLine = Line & { readonly words: readonly string[] };
export type WantedChrony = { readonly server: string };

/** The words of a directive; none for blank lines and for comments, which begin with `!`, `;`, `#` or `%`. */
const readWords = (text: string): string[] => {
  const words = wordsOf(text);
  return /^[!;#%]/.test(words[0] ?? '') ? [] : words;
};

export const parse = (text: string): ChronyLine[] =>
  splitLines(text).map((line) => ({ ...line, words: readWords(line.text) }));

export const print = (doc: readonly Line[]): string => joinLines(doc);

export const undo = (text: string): string => removeMarks(text);

/** The text with the time server, unless a server, pool or peer of that address is there already. */
export const edit = (text: string, { server }: WantedChrony): string => {
  const doc = parse(undo(text));
  const isThere = doc.some(
    ({ words: [directive = '', address = ''] }) =>
      /^(server|pool|peer)$/i.test(directive) && sameAddress(address, server),
  );
  return print(isThere ? doc : insertLines(doc, doc.length, markedBlock([`server ${server} iburst`])));
};
