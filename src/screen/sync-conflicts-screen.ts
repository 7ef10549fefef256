import { count, printable, wrap } from '../printable.ts';
import type { Screen } from '../report.ts';
import { unifiedLines } from './diff-screen.ts';
import type { Look } from './paint.ts';

type Shown = Extract<Screen, { readonly kind: 'conflict' }>;

/** The conflicts of both servers, oldest first. @param notAsked the server whose conflicts nobody knows */
export function conflictsLines(
  conflicts: readonly Shown['conflict'][],
  notAsked: string | undefined,
  look: Look,
): string[] {
  if (conflicts.length === 0)
    return wrap(notAsked === undefined ? 'There is no conflict.' : `None here; ${notAsked} was not asked.`, look.width);
  return [
    ...conflicts.flatMap((conflict) => oneConflict(conflict, look)),
    ...wrap(
      `${count(conflicts.length, 'conflict')}. How a kept copy differs: cmsadm sync conflicts ID, on its server.`,
      look.width,
    ),
  ];
}

const oneConflict = (
  { id, set, path, at, owner, kept, server }: Shown['conflict'],
  { width, paint }: Look,
): string[] => [
  ...wrap(`${id}  ${at}  ${server}`, width, '', '  ').map(paint.place),
  ...wrap(`${set}: ${printable(path)} (of ${printable(owner)})`, width, '  ', '    '),
  ...wrap(`kept: ${printable(kept)}`, width, '  ', '    '),
];

/** One conflict, and how the kept copy differs from the file as it is now. */
export function conflictLines(conflict: Shown['conflict'], compared: Shown['compared'], look: Look): string[] {
  return [
    ...oneConflict(conflict, look),
    ...('why' in compared
      ? wrap(compared.why, look.width, '  ').map(look.paint.warning)
      : unifiedLines(
          { name: `${printable(conflict.kept)} (lost)`, text: compared.kept },
          { name: `${printable(conflict.path)} (now)`, text: compared.current },
          look,
        )),
  ];
}
