// Text as it may stand on a terminal: nothing in it moves the cursor, and its width is known.

// Control, format (direction marks among them) and surrogate characters, line and paragraph separators.
const unprintable = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const wide =
  /[\p{Script=Han}\p{Script=Hangul}\p{Script=Hiragana}\p{Script=Katakana}\p{Emoji_Presentation}\u3000-\u303f\uff01-\uff60]/u;

/** The text with every character that a terminal would obey shown as `\xNN` (or `\u{…}` above `\xff`). */
export const printable = (text: string): string =>
  text.replace(unprintable, (character) => {
    const code = character.codePointAt(0) ?? 0;
    return code <= 0xff ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u{${code.toString(16)}}`;
  });

/** Text of which each character is one byte (latin1), read as UTF-8 where it is valid; other bytes show as `\xNN`. */
export function printableBytes(bytes: string): string {
  try {
    return printable(new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(Buffer.from(bytes, 'latin1')));
  } catch {
    return printable(bytes).replace(/[\x80-\xff]/g, (byte) => `\\x${byte.charCodeAt(0).toString(16)}`);
  }
}

// Most of what is shown is ASCII, and the first look at a class of characters costs milliseconds.
const columnsOf = (character: string): number =>
  character <= '\x7f' ? 1 : /\p{Mark}/u.test(character) ? 0 : wide.test(character) ? 2 : 1;

/** How many columns of a terminal a printable text takes. */
export const columns = (text: string): number => [...text].reduce((sum, character) => sum + columnsOf(character), 0);

/** The text in pieces of at most `room` columns, cut wherever that falls. */
export function cut(text: string, room: number): string[] {
  const pieces: string[] = [];
  let piece = '';
  let used = 0;
  for (const character of text) {
    const needed = columnsOf(character);
    if (used + needed > room && piece !== '') {
      pieces.push(piece);
      piece = '';
      used = 0;
    }
    piece += character;
    used += needed;
  }
  return [...pieces, piece];
}

/**
 * The text in lines of at most `width` columns, made printable. The first line begins with `first`, the others with
 * `rest` (blanks as wide as `first`, unless given). Breaks at blanks, in a longer word behind a slash, else anywhere; a
 * line feed in the text begins a new line, behind `rest` like the others. Blanks that stay within a line are kept.
 */
export function wrap(text: string, width: number, first = '', rest = ' '.repeat(columns(first))): string[] {
  const lines: string[] = [];
  for (const part of text.replace(/\r?\n$/, '').split(/\r?\n/))
    lines.push(...wrapLine(printable(part), width, lines.length === 0 ? first : rest, rest));
  return lines;
}

function wrapLine(text: string, width: number, first: string, rest: string): string[] {
  const lines: string[] = [];
  let line = first;
  let isEmpty = true;
  const add = (piece: string): void => {
    line += piece;
    isEmpty = false;
  };
  const end = (): void => {
    lines.push(line.trimEnd());
    line = rest;
    isEmpty = true;
  };
  const fits = (piece: string): boolean => columns(line) + columns(piece) <= width;
  for (const word of text.match(/ *[^ ]+/g) ?? []) {
    if (fits(word)) {
      add(word);
      continue;
    }
    if (!isEmpty) end();
    // Blanks lead only where the text itself begins with them.
    const kept = lines.length === 0 ? word : word.trimStart();
    for (const piece of fits(kept) ? [kept] : kept.split(/(?<=\/)/)) {
      if (!fits(piece) && !isEmpty) end();
      const [head = '', ...tail] = fits(piece) ? [piece] : cut(piece, Math.max(2, width - columns(line)));
      add(head);
      for (const next of tail) {
        end();
        add(next);
      }
    }
  }
  end();
  return lines;
}

/** `1 file`, `2 files`. */
export const count = (number: number, noun: string): string => `${number} ${noun}${number === 1 ? '' : 's'}`;

/** The first so many of some names, and how many more there are: `a, b and 3 more`. */
export const someOf = (names: readonly string[], most: number): string =>
  `${names.slice(0, most).join(', ')}${names.length > most ? ` and ${names.length - most} more` : ''}`;
