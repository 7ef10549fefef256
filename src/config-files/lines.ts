/**
 * A text as its lines, each with the ending it has. `joinLines(splitLines(x)) === x` for every string;
 * bytes come in as latin1, so this holds for every file.
 */
export type Line = { readonly text: string; readonly end: '' | '\n' | '\r\n' };

/** Only the last line may lack an ending; an empty text has no lines. */
export const splitLines = (text: string): Line[] => {
  const lines: Line[] = [];
  let start = 0;
  while (start < text.length) {
    const newline = text.indexOf('\n', start);
    if (newline === -1) {
      lines.push({ text: text.slice(start), end: '' });
      break;
    }
    const crlf = newline > start && text[newline - 1] === '\r';
    lines.push({ text: text.slice(start, crlf ? newline - 1 : newline), end: crlf ? '\r\n' : '\n' });
    start = newline + 1;
  }
  return lines;
};

export const joinLines = (lines: readonly Line[]): string => {
  let text = '';
  for (const line of lines) text += line.text + line.end;
  return text;
};

/** The ending in use around `index`: that of the nearest line before it that has one, else after it, else LF. */
const endingNear = (lines: readonly Line[], index: number): '\n' | '\r\n' => {
  // A last line that ends in a bare CR would turn into a CRLF line, and undo could not tell.
  if (index === lines.length && lines.at(-1)?.end === '' && lines.at(-1)?.text.endsWith('\r')) return '\r\n';
  const before = lines.slice(0, index).findLast((line) => line.end !== '');
  const end = before?.end || lines.slice(index).find((line) => line.end !== '')?.end;
  return end === '\r\n' ? '\r\n' : '\n';
};

/**
 * `lines` with `texts` as new lines before line `index`. They take the ending in use there; after a last line
 * without ending that line gets one and the last new line has none, so that a removal can restore it.
 */
export const insertLines = (lines: readonly Line[], index: number, texts: readonly string[]): Line[] => {
  const end = endingNear(lines, index);
  const added: Line[] = texts.map((text) => ({ text, end }));
  const before = lines.slice(0, index);
  const last = before.at(-1);
  const lastAdded = added.at(-1);
  if (last?.end === '' && lastAdded) {
    before[before.length - 1] = { ...last, end };
    added[added.length - 1] = { ...lastAdded, end: '' };
  }
  return [...before, ...added, ...lines.slice(index)];
};

/** `lines` without those that `isGone` names: the opposite of `insertLines`, at the end of the text too. */
export const removeLines = (lines: readonly Line[], isGone: (line: Line, index: number) => boolean): Line[] => {
  const kept = lines.filter((line, index) => !isGone(line, index));
  const last = kept.at(-1);
  if (last && kept.length < lines.length && lines.at(-1)?.end === '' && last !== lines.at(-1)) {
    kept[kept.length - 1] = { ...last, end: '' };
  }
  return kept;
};

/**
 * The words of a text between ASCII blanks, as isspace(3) has them in the C locale. Not `\s`: byte 0xA0 is a
 * no-break space in latin1, but the end of an `à` in UTF-8.
 */
export const wordsOf = (text: string): string[] => text.split(/[ \t\r\v\f]+/).filter((word) => word !== '');
