import { createHash } from 'node:crypto';
import { insertLines, joinLines, type Line, removeLines, splitLines } from './lines.ts';

/**
 * How our lines are recognised again without any backup:
 * - `… # cmsadm 1f2e3d`: a line of ours, where the format has trailing comments;
 * - `# cmsadm begin 1f2e3d 4c5b6a` … `# cmsadm end`: a block of our lines, where it has not;
 * - `#cmsadm was# …`: a line of the administrator that had to give way, kept in its place.
 * The hexadecimal words are digests of our lines. A line that was changed by hand no longer matches its
 * digest: it is the administrator's from then on and stays.
 */
const trailingMark = /^(.*\S) # cmsadm ([0-9a-f]{6})$/s;
const beginMark = /^[ \t]*# cmsadm begin((?: [0-9a-f]{6})*)$/;
const endMark = /^[ \t]*# cmsadm end$/;
const wasPrefix = '#cmsadm was# ';

const digest = (text: string): string => createHash('sha1').update(text, 'latin1').digest('hex').slice(0, 6);

/** One line of ours with its trailing mark. */
export const markedLine = (text: string): string => `${text} # cmsadm ${digest(text)}`;

/** A marked block of our lines; `indent` stands before the marks. */
export const markedBlock = (texts: readonly string[], indent = ''): string[] => [
  `${indent}${['# cmsadm begin', ...texts.map(digest)].join(' ')}`,
  ...texts,
  `${indent}# cmsadm end`,
];

/** An administrator's line that gives way: commented, all its bytes kept. */
export const giveWay = (line: Line): Line => ({ text: wasPrefix + line.text, end: line.end });

/** Replaces line `index` by its commented form followed by `texts`. */
export const replaceLine = (lines: readonly Line[], index: number, texts: readonly string[]): Line[] => {
  const commented = lines.map((line, at) => (at === index ? giveWay(line) : line));
  return texts.length === 0 ? commented : insertLines(commented, index + 1, texts);
};

/**
 * Which of our lines follow the begin mark at `begin`. Without an end mark only the run of known lines right
 * behind it is taken, so that a lost end never swallows the rest of the file.
 */
const blockLines = (lines: readonly Line[], begin: number, digests: ReadonlySet<string>): number[] => {
  const own: number[] = [begin];
  let run: number | undefined;
  for (let at = begin + 1; at < lines.length; at++) {
    const text = lines[at]?.text ?? '';
    if (endMark.test(text)) return [...own, at];
    if (beginMark.test(text)) break;
    if (digests.has(digest(text))) own.push(at);
    else run ??= own.length;
  }
  return own.slice(0, run);
};

/** The line numbers of every block of ours, of lost end marks, and of untouched lines with a trailing mark. */
const ownLines = (lines: readonly Line[]): Set<number> => {
  const own = new Set<number>();
  for (const [index, { text }] of lines.entries()) {
    if (!text.includes('# cmsadm ')) continue;
    const begin = beginMark.exec(text);
    if (begin) {
      const digests = new Set((begin[1] ?? '').split(' ').filter((word) => word !== ''));
      for (const at of blockLines(lines, index, digests)) own.add(at);
    } else if (endMark.test(text)) own.add(index);
    else {
      const mark = trailingMark.exec(text);
      if (mark?.[1] !== undefined && mark[2] === digest(mark[1])) own.add(index);
    }
  }
  return own;
};

/** An administrator's line again: without our comment sign, and without a mark that its text has outgrown. */
const unmarked = (line: Line): Line => {
  if (line.text.startsWith(wasPrefix)) return { ...line, text: line.text.slice(wasPrefix.length) };
  const mark = line.text.includes(' # cmsadm ') ? trailingMark.exec(line.text) : null;
  return mark?.[1] === undefined ? line : { ...line, text: mark[1] };
};

const removeOnce = (text: string, isOwn: (text: string) => boolean): string => {
  const lines = splitLines(text);
  const own = ownLines(lines);
  return joinLines(removeLines(lines, (line, index) => own.has(index) || isOwn(line.text)).map(unmarked));
};

/**
 * The text without our marks: our lines gone, the administrator's lines back, all else untouched.
 * `isOwn` recognises lines that carry their mark inside their own syntax.
 */
export const removeMarks = (text: string, isOwn: (text: string) => boolean = () => false): string => {
  let before = text;
  let after = removeOnce(before, isOwn);
  // Marks within marks, made by hand: what is left must hold none, or an edit would differ from its repetition.
  while (after !== before) {
    before = after;
    after = removeOnce(before, isOwn);
  }
  return after;
};
