import type { Check, Level } from '../ha/check.ts';
import type { Review, ReviewFile, ReviewServer, ReviewService } from '../ha/review.ts';
import { count, wrap } from '../printable.ts';
import type { Screen, ServerResult, TagLine } from '../report.ts';
import { backupLines } from './backups-screen.ts';
import { diffLines } from './diff-screen.ts';
import type { Look } from './paint.ts';
import { pairLines } from './pair-screen.ts';
import { conflictLines, conflictsLines } from './sync-conflicts-screen.ts';
import { differenceLines, passLines } from './sync-passes-screen.ts';
import { syncLines } from './sync-screen.ts';

/** A screen as lines of at most `width` columns, without anything in them that a terminal would obey but our colours. */
export function screenLines(screen: Screen, look: Look): string[] {
  switch (screen.kind) {
    case 'preflight':
      return preflightLines(screen.checks, screen.toConfirm, look);
    case 'review':
      return reviewLines(screen.review, look);
    case 'diff':
      return diffLines(screen.review, look);
    case 'pair':
      return pairLines(screen.views, look);
    case 'sync':
      return syncLines(screen.views, look);
    case 'passes':
      return passLines(screen.passes, look);
    case 'differences':
      return differenceLines(screen.sets, look);
    case 'conflicts':
      return conflictsLines(screen.conflicts, screen.notAsked, look);
    case 'conflict':
      return conflictLines(screen.conflict, screen.compared, look);
    case 'tags':
      return tagLines(screen.tags, look);
    case 'backups':
      return backupLines(screen, look);
    case 'result':
      return resultLines(screen.title, screen.servers, screen.notes, look);
  }
}

const marks: Readonly<Record<Level, string>> = { pass: 'PASS', warn: 'WARN', fail: 'FAIL' };

function preflightLines(checks: readonly Check[], toConfirm: readonly string[], { width, paint }: Look): string[] {
  const colours = { pass: paint.good, warn: paint.warning, fail: paint.bad };
  const checkLines = ({ level, text, details, remedy }: Check): string[] => [
    // Painted after it was laid out: colours take no columns.
    ...wrap(text, width, `  ${marks[level]}  `).map((line, index) =>
      index === 0 ? `  ${colours[level](marks[level])}${line.slice(6)}` : line,
    ),
    ...(details ?? []).flatMap((detail) => wrap(detail, width, '        - ')),
    ...(remedy !== undefined && level !== 'pass' ? wrap(remedy, width, '        Next: ') : []),
  ];
  const servers = [...new Set(checks.map(({ server }) => server))];
  const total = (level: Level): number => checks.filter((check) => check.level === level).length;
  return [
    ...servers.flatMap((server) => [
      ...wrap(server === 'both' ? 'Preflight: both servers' : `Preflight: ${server}`, width).map(paint.title),
      ...checks.filter((check) => check.server === server).flatMap(checkLines),
      '',
    ]),
    `${total('pass')} passed, ${count(total('warn'), 'warning')}, ${total('fail')} failed.`,
    ...listLines('Confirm what no program can see:', toConfirm, width),
  ];
}

function reviewLines(review: Review, look: Look): string[] {
  const { width, paint } = look;
  return [
    ...wrap(`Review: ${review.operation}`, width).map(paint.title),
    ...review.servers.flatMap((server) => ['', ...reviewServerLines(server, look)]),
    ...(review.servers.length === 0 ? [] : ['']),
    ...(review.servers.every(({ files }) => files.every(({ what }) => what === 'stays'))
      ? []
      : wrap(`Backup tag .${review.tag}: the old content of each file is kept beside it as FILE.${review.tag}`, width)),
    ...listLines('Notes:', review.notes, width),
  ];
}

const fileGroups = ['changed', 'created', 'removed'] as const;

function reviewServerLines(server: ReviewServer, { width, paint }: Look): string[] {
  const paths = (what: ReviewFile['what']): string[] => server.files.filter((file) => file.what === what).map(fileLine);
  const touched = fileGroups.flatMap((what) => paths(what).flatMap((path) => wrap(path, width, `    ${what}  `)));
  const stays = paths('stays');
  const seconds = server.interruption === 0 ? 'none' : `about ${server.interruption} s`;
  return [
    ...wrap(`${server.name} (${server.address}) becomes ${server.becomes}`, width).map(paint.place),
    '  Services',
    ...(server.services.length === 0
      ? ['    none']
      : server.services.flatMap((service) => serviceLines(service, width))),
    ...wrap(`Expected interruption: ${seconds}`, width, '  '),
    '  Files',
    ...(touched.length === 0 ? ['    none is touched'] : touched),
    ...(stays.length === 0 ? [] : wrap(stays.join(', '), width, '    stays    ')),
  ];
}

const fileLine = ({ path, real, otherNames }: ReviewFile): string =>
  [
    path,
    ...(real === undefined ? [] : [`really ${real}`]),
    ...(otherNames === undefined
      ? []
      : [`${count(otherNames, 'other name')} of it (hard link) will keep the old content`]),
  ].join(', ');

const serviceLines = ({ how, label, unit, because, interruption }: ReviewService, width: number): string[] => [
  ...wrap(
    `${how.padEnd(7)}  ${label} (${unit})${interruption === 0 ? '' : `, about ${interruption} s`}`,
    width,
    '    ',
    ' '.repeat(13),
  ),
  ...wrap(`because of ${because.join(', ')}`, width, ' '.repeat(13)),
];

function tagLines(tags: readonly TagLine[], { width, paint }: Look): string[] {
  if (tags.length === 0) return ['There is no backup tag.'];
  const longest = Math.max(...tags.map(({ tag }) => tag.length));
  return tags.flatMap(({ tag, at, operation, operator, files, state, lacks }) => [
    ...wrap(`${tag.padEnd(longest)}  ${at}  ${state}`, width, '', '  ').map(paint.place),
    ...wrap(`${operation}, by ${operator}`, width, '  '),
    ...wrap(`${count(files.length, 'file')}${files.length === 0 ? '' : `: ${files.join(', ')}`}`, width, '  ', '    '),
    ...lacks.flatMap((one) => wrap(one, width, '  - ')).map(paint.warning),
  ]);
}

function resultLines(
  title: string,
  servers: readonly ServerResult[],
  notes: readonly string[],
  { width, paint }: Look,
): string[] {
  const row = (label: string, values: readonly string[], none: string): string[] =>
    wrap(values.length === 0 ? none : values.join(', '), width, `  ${label.padEnd(10)}`);
  return [
    ...wrap(title, width).map(paint.title),
    ...servers.flatMap(({ name, role, files, services, verified }) => [
      ...wrap(role === undefined ? name : `${name} (${role})`, width).map(paint.place),
      ...row('files', files, 'none changed'),
      ...row('services', services, 'none touched'),
      ...row('verified', verified, 'nothing'),
    ]),
    ...listLines('Notes:', notes, width),
  ];
}

const listLines = (title: string, entries: readonly string[], width: number): string[] =>
  entries.length === 0 ? [] : ['', title, ...entries.flatMap((entry) => wrap(entry, width, '  - '))];
