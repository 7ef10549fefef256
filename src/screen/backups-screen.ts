import type { KeptTag } from '../ha/prune.ts';
import { count, wrap } from '../printable.ts';
import type { Screen } from '../report.ts';
import type { Look } from './paint.ts';

/** The backups of each tag on each server, with what they take. */
export function backupLines(
  { title, tags, notes }: Extract<Screen, { readonly kind: 'backups' }>,
  look: Look,
): string[] {
  const total = tags.reduce((sum, { bytes }) => sum + bytes, 0);
  return [
    ...wrap(`${title}: ${tags.length === 0 ? 'none' : `${count(tags.length, 'tag')}, ${size(total)}`}`, look.width).map(
      look.paint.title,
    ),
    ...tags.flatMap((tag) => tagLines(tag, look)),
    ...notes.flatMap((note) => wrap(note, look.width)),
  ];
}

function tagLines({ tag, at, operation, operator, servers }: KeptTag, { width, paint }: Look): string[] {
  return [
    ...wrap(`${tag}  ${at}`, width, '', '  ').map(paint.place),
    ...wrap(`${operation}, by ${operator}`, width, '  '),
    ...servers.flatMap(({ name, state, pruned, files, edited }) => {
      const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
      const mark = state === 'open' ? ', not settled' : state === 'put back' ? ', put back' : pruned ? ', pruned' : '';
      return [
        ...wrap(`${name}: ${count(files.length, 'file')}, ${size(bytes)}${mark}`, width, '  ', '    '),
        ...edited.flatMap((path) => wrap(`yours, stays: ${path}`, width, '    ', '      ')),
      ];
    }),
  ];
}

/** Bytes as people read them, to three digits. */
export function size(bytes: number): string {
  if (bytes < 1000) return `${bytes} bytes`;
  const [number, unit] = bytes < 1_000_000 ? [bytes / 1000, 'kB'] : [bytes / 1_000_000, 'MB'];
  return `${number < 10 ? number.toFixed(1) : Math.round(number)} ${unit}`;
}
