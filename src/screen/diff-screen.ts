import { structuredPatch } from 'diff';
import type { Review, ReviewFile } from '../ha/review.ts';
import { columns, cut, printableBytes, wrap } from '../printable.ts';
import type { Look, Paint } from './paint.ts';

/** A review as unified diffs, three lines of context; of a secret file only its name. */
export function diffLines(review: Review, look: Look): string[] {
  const lines = review.servers.flatMap((server) => {
    const files = server.files.filter(({ what }) => what !== 'stays');
    if (files.length === 0) return [];
    return [
      ...wrap(server.name, look.width).map(look.paint.title),
      ...files.flatMap((file) => fileLines(file, look)),
      '',
    ];
  });
  return lines.length === 0 ? ['No file differs.'] : lines.slice(0, -1);
}

function fileLines(file: ReviewFile, look: Look): string[] {
  if (file.secret) return wrap(`${file.path}: ${file.what} (secret, not shown)`, look.width);
  if ([file.before, file.after].some((text) => text?.includes('\0')))
    return wrap(`${file.path}: ${file.what} (no text, not shown)`, look.width);
  return unifiedLines(
    { name: file.what === 'created' ? '/dev/null' : file.path, text: file.before ?? '' },
    { name: file.what === 'removed' ? '/dev/null' : file.path, text: file.after ?? '' },
    look,
  );
}

type Version = { readonly name: string; readonly text: string };

/** Two versions of a file (latin1) as a unified diff. */
export function unifiedLines(before: Version, after: Version, { width, paint }: Look): string[] {
  const { hunks } = structuredPatch('', '', before.text, after.text, '', '', { context: 3 });
  return [
    ...wrap(before.name, width, '--- ').map(paint.faint),
    ...wrap(after.name, width, '+++ ').map(paint.faint),
    ...(hunks.length === 0 ? ['(no line differs)'] : []),
    ...hunks.flatMap(({ oldStart, oldLines, newStart, newLines, lines }) => [
      paint.place(`@@ -${range(oldStart, oldLines)} +${range(newStart, newLines)} @@`),
      ...lines.flatMap((line) => rows(line, width).map(colourOf(line, paint))),
    ]),
  ];
}

// Of no lines, the format wants the number of the line before.
const range = (start: number, lines: number): string => `${lines === 0 ? start - 1 : start},${lines}`;

/** One line of a hunk; a longer one goes on in the next row, as a shell's does behind a backslash. */
function rows(line: string, width: number): string[] {
  const sign = line.slice(0, 1);
  const [first = '', ...others] = cut(`${sign}${visible(line.slice(1))}`, width - 1);
  return [first, ...others].map((row, index) => (index < others.length ? `${row}\\` : row));
}

/** Tabs reach to the next of the eight columns, as on a terminal; all else that is no text becomes visible. */
function visible(bytes: string): string {
  return bytes
    .split('\t')
    .map((part) => printableBytes(part))
    .reduce((text, part) => `${text}${' '.repeat(8 - (columns(text) % 8))}${part}`);
}

function colourOf(line: string, paint: Paint): (text: string) => string {
  if (line.startsWith('+')) return paint.good;
  if (line.startsWith('-')) return paint.bad;
  return (text) => text;
}
