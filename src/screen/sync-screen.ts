import { wrap } from '../printable.ts';
import type { SyncView } from '../report.ts';
import type { Look } from './paint.ts';

type Status = NonNullable<SyncView['status']>;

/** Admin-sync as the agent of each server tells it. */
export const syncLines = (views: readonly SyncView[], look: Look): string[] => [
  ...views.flatMap((view, index) => [...(index === 0 ? [] : ['']), ...viewLines(view, look)]),
  ...wantedLines(views, look),
];

/** What acts on each server by itself: how both stand to the same wanted state, one below the other. */
function wantedLines(views: readonly SyncView[], { width, paint }: Look): string[] {
  const rows = views.flatMap(({ name, status }) =>
    (status?.sets ?? []).flatMap(({ name: set, wanted }) => (wanted ? [{ server: name, set, wanted }] : [])),
  );
  const sets = [...new Set(rows.map(({ set }) => set))];
  return sets.flatMap((set) => [
    '',
    ...wrap(`Wanted state of ${set}`, width).map(paint.title),
    ...rows
      .filter((row) => row.set === set)
      .flatMap(({ server, wanted: { state, lines } }) =>
        state === 'as wanted'
          ? wrap(`${server}  stands as wanted`, width, '  ', '    ').map(paint.good)
          : wrap(
              `${server}  ${[state, ...(lines.length === 0 ? [] : [lines.join('; ')])].join(': ')}`,
              width,
              '  ',
              '    ',
            ).map(paint.bad),
      ),
  ]);
}

const row = (label: string, text: string, width: number): string[] => wrap(text, width, `  ${label.padEnd(11)}`);

function viewLines({ name, status, error }: SyncView, look: Look): string[] {
  const { width, paint } = look;
  if (!status)
    return [
      ...wrap(`${name}: admin-sync can't be asked`, width).map(paint.bad),
      ...row('because', error?.message ?? '', width),
      ...(error?.remedy ? row('next', error.remedy, width) : []),
    ];
  const { role, epoch, paused, restoring, conflicts } = status;
  const standing = role === 'none' ? 'single server' : `${role}, epoch ${epoch}`;
  return [
    ...wrap(`${name} (${standing})`, width).map(paint.title),
    ...row('channel', channelText(status), width),
    ...row('full pass', passText(status), width),
    ...row('changes', `${status.seq} sent, ${status.acked} acknowledged, ${status.queue} waiting`, width),
    ...(restoring
      ? row(
          'held',
          `for the restore ${restoring.tag} by ${restoring.by} since ${restoring.since}: cmsadm sync resume --tag ${restoring.tag}`,
          width,
        ).map(paint.warning)
      : []),
    ...row('paused', paused ? `by ${paused.by} since ${paused.since}: cmsadm sync resume` : 'no', width).map(
      paused ? paint.warning : plain,
    ),
    ...row('conflicts', conflicts === 0 ? 'none' : `${conflicts}: cmsadm sync conflicts`, width).map(
      conflicts === 0 ? plain : paint.warning,
    ),
    ...setLines(status.sets, look),
  ];
}

const plain = (text: string): string => text;

/** What is on its way is no trouble, but not in step either. */
const channelText = ({ state, queue, paused, restoring }: Status): string =>
  state === 'in step' && queue > 0 && !paused && !restoring ? 'sending' : state;

function passText({ role, passPercent, lastPass }: Status): string {
  const running = passPercent === null ? [] : [`running, ${passPercent} %`];
  const none = role === 'secondary' ? 'made by the primary' : 'none ended yet';
  return [...running, lastPass === null ? none : `last ended ${lastPass}`].join('; ');
}

function setLines(sets: Status['sets'], { width, paint }: Look): string[] {
  if (sets.length === 0) return row('data sets', 'none', width);
  const longest = Math.max(8, ...sets.map(({ name }) => name.length));
  const state = Math.max(9, ...sets.map((set) => set.state.length + 1));
  const line = (name: string, cells: readonly string[]): string[] =>
    wrap(
      `${name.padEnd(longest)}${cells.map((cell, index) => cell.padStart(index === 0 ? state : 9)).join('')}`,
      width,
      '  ',
      '    ',
    );
  return [
    ...line('data set', ['state', 'lag', 'queue', 'names', 'a minute']).map(paint.faint),
    ...sets.flatMap((set) => [
      ...line(set.name, [
        set.state,
        set.lagSeconds === null ? 'none' : duration(set.lagSeconds),
        `${set.queue}`,
        `${set.names}`,
        `${set.lastMinute}`,
      ]).map(set.state === 'in step' ? paint.good : set.state === 'sending' ? plain : paint.bad),
      ...(set.why === '' ? [] : wrap(set.why, width, '    ').map(paint.bad)),
      ...(set.state === 'held' ? wrap(`Let it go on: cmsadm sync release ${set.name}`, width, '    Next: ') : []),
    ]),
  ];
}

/** Seconds as people read them. */
function duration(seconds: number): string {
  if (seconds < 10) return `${seconds.toFixed(1)} s`;
  if (seconds < 120) return `${Math.round(seconds)} s`;
  return seconds < 7_200 ? `${Math.round(seconds / 60)} min` : `${Math.round(seconds / 3600)} h`;
}
