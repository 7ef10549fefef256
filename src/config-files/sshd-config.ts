/** sshd_config(5): our access rule as one Match block, in the file itself or as the content of a drop-in. */
import { insertLines, joinLines, type Line, splitLines } from './lines.ts';
import { markedBlock, removeMarks } from './marks.ts';

export type SshdLine = Line & { readonly keyword: string; readonly values: readonly string[] };
export type WantedSshd = {
  /** The address the other server's connections come from. */
  readonly address: string;
  readonly settings: readonly (readonly [keyword: string, value: string])[];
};

/** Words between blanks, quotes taken off; `#` ends the line where a word would begin. */
const readWords = (text: string): string[] => {
  const words: string[] = [];
  for (const [word, quoted] of text.matchAll(/"([^"]*)"?|[^ \t\r\f"]+/g)) {
    if (word.startsWith('#')) break;
    words.push(quoted ?? word);
  }
  return words;
};

/** Keywords in lower case, '' for a line without one. Between keyword and value may stand one `=`. */
const readDirective = (text: string): { keyword: string; values: string[] } => {
  const [, keyword, rest] = /^[ \t\r]*"?([A-Za-z0-9]+)"?(?:[ \t\r]*=|(?=[ \t\r\f])|$)(.*)$/s.exec(text) ?? [];
  return { keyword: keyword?.toLowerCase() ?? '', values: readWords(rest ?? '') };
};

export const parse = (text: string): SshdLine[] =>
  splitLines(text).map((line) => ({ ...line, ...readDirective(line.text) }));

export const print = (doc: readonly Line[]): string => joinLines(doc);

const header = ({ address }: WantedSshd): string => `Match User root Address ${address}`;

/**
 * The block. Its closing `Match all` opens the global part again, so that a line which somebody appends to the
 * file later is not caught in our Match.
 */
const block = (wanted: WantedSshd): string[] =>
  markedBlock([header(wanted), ...wanted.settings.map((setting) => `    ${setting.join(' ')}`), 'Match all']);

/**
 * Directives that the administrator wrote inside our block keep its Match lines, without our marks: taken out of
 * the Match they would begin to apply to every connection.
 */
export const undo = (text: string): string => {
  const lines = splitLines(text);
  const begin = lines.findIndex((line) => line.text.startsWith('# cmsadm begin '));
  const end = lines.findIndex((line, index) => index > begin && line.text === '# cmsadm end');
  const beginLine = lines[begin];
  if (!beginLine || end === -1) return removeMarks(text);
  const inside = parse(removeMarks(joinLines(lines.slice(begin, end + 1))));
  const foreign = inside.find(({ keyword }) => keyword !== '');
  if (!foreign || foreign.keyword === 'match') return removeMarks(text);
  // The first and the last digest are those of `Match User …` and `Match all`: without them the lines stay.
  const others = beginLine.text.split(' ').slice(4, -1);
  lines[begin] = { ...beginLine, text: ['# cmsadm begin', ...others].join(' ') };
  return removeMarks(joinLines(lines));
};

/** The content of a drop-in file with the block. */
export const renderDropIn = (wanted: WantedSshd): string => `${block(wanted).join('\n')}\n`;

/**
 * The text with the block before the first Match line, or at its end: the first matching block wins, and global
 * keywords must stay outside. Without settings there is nothing to do.
 */
export const edit = (text: string, wanted: WantedSshd): string => {
  const doc = parse(undo(text));
  if (wanted.settings.length === 0) return print(doc);
  const match = doc.findIndex(({ keyword }) => keyword === 'match');
  return print(insertLines(doc, match === -1 ? doc.length : match, block(wanted)));
};

/**
 * Whether the server reads `<folder>/*.conf` before any Match line. A Match of an included file ends with that
 * file, an Include after a Match line belongs to that Match.
 */
export const includesDropIns = (text: string, folder: string): boolean => {
  const doc = parse(text);
  const match = doc.findIndex(({ keyword }) => keyword === 'match');
  const globalPart = match === -1 ? doc : doc.slice(0, match);
  const wanted = `${folder.replace(/\/+$/, '')}/*.conf`;
  return globalPart
    .filter(({ keyword }) => keyword === 'include')
    .flatMap(({ values }) => values)
    .map((pattern) => (pattern.startsWith('/') ? pattern : `/etc/ssh/${pattern}`).replace(/\/+/g, '/'))
    .some((pattern) => pattern === wanted || pattern === wanted.replace(/\.conf$/, ''));
};
