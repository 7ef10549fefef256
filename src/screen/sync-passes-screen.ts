import { count, printable, wrap } from '../printable.ts';
import type { Screen } from '../report.ts';
import { size } from './backups-screen.ts';
import type { Look } from './paint.ts';

type Passes = Extract<Screen, { readonly kind: 'passes' }>['passes'];
type Sets = Extract<Screen, { readonly kind: 'differences' }>['sets'];

/** One line per data set: what the full pass did, or what was in the way. */
export function passLines(passes: Passes, { width, paint }: Look): string[] {
  if (passes.length === 0) return ['The profile has no data sets.'];
  return passes.flatMap(({ set, ok, why, sent, removed, bytes, milliseconds }) => [
    ...wrap(
      `${set}: ${ok ? 'ok' : 'FAILED'}, ${sent} sent, ${removed} removed, ${size(bytes)}, ${seconds(milliseconds)}`,
      width,
      '',
      '  ',
    ).map(ok ? paint.good : paint.bad),
    ...(why === '' ? [] : wrap(why, width, '  ').map(paint.warning)),
  ]);
}

const seconds = (milliseconds: number): string => `${(milliseconds / 1000).toFixed(milliseconds < 10_000 ? 2 : 0)} s`;

/** What differs, data set by data set. */
export function differenceLines(sets: Sets, look: Look): string[] {
  if (sets.length === 0) return ['The profile has no data sets.'];
  return sets.flatMap((set) => setLines(set, look));
}

function setLines({ set, onlyHere, different, onlyThere, more }: Sets[number], { width, paint }: Look): string[] {
  if (onlyHere.length + different.length + onlyThere.length === 0)
    return wrap(`${set}: nothing differs`, width).map(paint.good);
  const group = (title: string, names: readonly string[]): string[] =>
    names.length === 0
      ? []
      : [
          `  ${title} (${count(names.length, 'name')})`,
          ...names.flatMap((name) => wrap(shownName(name), width, '    ')),
        ];
  return [
    ...wrap(set, width).map(paint.title),
    ...group('only on this server', onlyHere),
    ...group('different', different),
    ...group('only on the other server', onlyThere),
    ...(more ? ['  There are more: 1000 names of each kind are shown.'] : []),
  ];
}

// The folder of the data set itself has no name; a line end in one must not look like two names.
const shownName = (name: string): string => (name === '' ? '.' : printable(name));
