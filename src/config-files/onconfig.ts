/** Informix onconfig: `KEY value # comment`; a backslash at the end of a line continues it on the next. */
import { insertLines, joinLines, type Line, splitLines } from './lines.ts';
import { giveWay, markedBlock, removeMarks } from './marks.ts';

/** A parameter, from its first line to its last; all other lines stand for themselves. */
export type OnconfigLine = Line & { readonly key: string; readonly value: string; readonly length: number };
export type WantedOnconfig = { readonly aliases: readonly string[] };

const withoutComment = (text: string): string => text.replace(/(^|[ \t])#.*$/s, '').replace(/[ \t\r]+$/, '');

/** The key and value that begin on line `index`, and how many lines they take. */
const readParameter = (lines: readonly Line[], index: number): Omit<OnconfigLine, 'text' | 'end'> => {
  const none = { key: '', value: '', length: 1 };
  const [, key, rest] = /^[ \t]*([A-Za-z][A-Za-z0-9_]*)(?=[ \t\r]|$)(.*)$/s.exec(lines[index]?.text ?? '') ?? [];
  if (key === undefined || rest === undefined) return none;
  let value = withoutComment(rest);
  let length = 1;
  while (value.endsWith('\\') && index + length < lines.length) {
    value = value.slice(0, -1) + withoutComment(lines[index + length]?.text ?? '').replace(/^[ \t]+/, '');
    length += 1;
  }
  return { key, value: value.replace(/^[ \t]+/, ''), length };
};

export const parse = (text: string): OnconfigLine[] => {
  const lines = splitLines(text);
  let next = 0;
  return lines.map((line, index) => {
    if (index < next) return { ...line, key: '', value: '', length: 1 };
    const parameter = readParameter(lines, index);
    next = index + parameter.length;
    return { ...line, ...parameter };
  });
};

export const print = (doc: readonly Line[]): string => joinLines(doc);

export const undo = (text: string): string => removeMarks(text);

/** The value of a parameter ('' if it has none), or undefined where it is absent. */
export const read = (text: string, key: string): string | undefined =>
  parse(text).find((line) => line.key === key)?.value;

/** An alias may carry its number of listen threads: `alias-2`. */
const isAlias = (entry: string, alias: string): boolean =>
  entry === alias || (entry.startsWith(`${alias}-`) && /^\d+$/.test(entry.slice(alias.length + 1)));

/**
 * The text with the aliases in DBSERVERALIASES, behind those it has. The old line gives way; if there are several,
 * all do, and their aliases are joined. The name in DBSERVERNAME is no alias.
 */
export const edit = (text: string, { aliases }: WantedOnconfig): string => {
  const clean = undo(text);
  const doc = parse(clean);
  const name = read(clean, 'DBSERVERNAME') ?? '';
  const old = [...doc.entries()].filter(([, { key }]) => key === 'DBSERVERALIASES');
  const present = old.flatMap(([, { value }]) => value.split(/[ \t,]+/)).filter((entry) => entry !== '');
  const missing = aliases.filter((alias) => ![...present, name].some((entry) => isAlias(entry, alias)));
  if (missing.length === 0) return clean;

  const added = markedBlock([`DBSERVERALIASES ${[...new Set([...present, ...missing])].join(',')}`]);
  const first = old[0];
  if (!first) return print(insertLines(doc, doc.length, added));
  const gone = new Set(old.flatMap(([index, { length }]) => Array.from({ length }, (_, at) => index + at)));
  const commented = doc.map((line, index) => (gone.has(index) ? giveWay(line) : line));
  const [firstAt, { length }] = first;
  return print(insertLines(commented, firstAt + length, added));
};
