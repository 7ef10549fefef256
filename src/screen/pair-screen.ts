import { wrap } from '../printable.ts';
import type { PairView } from '../report.ts';
import type { Look } from './paint.ts';

/** The pair as each of its servers sees it, and whether the two views agree. */
export function pairLines(views: readonly PairView[], look: Look): string[] {
  const { agree, text } = agreement(views);
  const paint = agree ? look.paint.good : look.paint.bad;
  return [...views.flatMap((view) => [...viewLines(view, look), '']), ...wrap(text, look.width).map(paint)];
}

function viewLines(view: PairView, { width, paint }: Look): string[] {
  const row = (label: string, text: string): string[] => wrap(text, width, `  ${label.padEnd(14)}`);
  const title = wrap(view.reachable ? `${view.seenBy} says` : `${view.seenBy} can't be reached`, width);
  if (!view.reachable) return [...title.map(paint.bad), ...view.alarms.flatMap(({ text }) => row('because', text))];
  const services = Object.entries(view.services).map(([unit, active]) => `${unit} ${active ? 'up' : 'DOWN'}`);
  return [
    ...title.map(paint.title),
    ...row('cmsadm', view.version ?? 'unknown'),
    ...row('own role', view.role ?? 'single server'),
    ...row('epoch', `${view.epoch ?? 'none'}`),
    ...row('primary', view.primary ?? 'none'),
    ...row('secondary', view.secondary ?? 'none'),
    ...row('link', view.linked ? 'yes' : 'no'),
    ...row('services', services.length === 0 ? 'none' : services.join(', ')),
    ...(view.acds ?? []).flatMap((line, index) => row(index === 0 ? 'ACDs' : '', line)),
    ...row('admin-sync', view.sync ?? 'not running'),
    ...row('being changed', view.lock === undefined ? 'no' : `by ${view.lock}`),
    ...row('unfinished', view.unfinished.length === 0 ? 'nothing' : view.unfinished.join(', ')),
    ...(view.alarms.length === 0
      ? row('alarms', 'none')
      : view.alarms
          .flatMap(({ at, text }, index) => row(index === 0 ? 'alarms' : '', `${at} ${text}`))
          .map(paint.warning)),
    ...(view.alarms.length === 0 ? [] : row('', 'Read them, then run `cmsadm recover` there: it clears them.')),
  ];
}

function agreement(views: readonly PairView[]): { readonly agree: boolean; readonly text: string } {
  const away = views.filter(({ reachable }) => !reachable);
  const [first, second] = views;
  if (away.length > 0 || !first)
    return {
      agree: false,
      text: `Whether both servers agree is not known: ${away.map(({ seenBy }) => seenBy).join(', ')} can't be asked.`,
    };
  if (!second)
    return first.role === undefined
      ? { agree: true, text: 'This server belongs to no pair.' }
      : { agree: false, text: 'Whether both servers agree is not known: only one was asked.' };
  const differences = [
    ...differing('the epoch', first.epoch, second.epoch),
    ...differing('the primary', first.primary, second.primary),
    ...differing('the secondary', first.secondary, second.secondary),
    ...(first.role !== undefined && first.role === second.role ? [`each says that it is ${first.role} itself`] : []),
  ];
  const apart = first.version === second.version ? '' : ' They run two versions of cmsadm: cmsadm config_HA upgrade.';
  return differences.length === 0
    ? { agree: true, text: `Both servers agree.${apart}` }
    : { agree: false, text: `The servers DISAGREE: ${differences.join('; ')}.` };
}

const differing = (what: string, a: string | number | undefined, b: string | number | undefined): string[] =>
  a === b ? [] : [`${what} is ${a ?? 'unknown'} to one and ${b ?? 'unknown'} to the other`];
