import * as fs from 'node:fs';
import { shownPath } from '../agent/entry.ts';
import { at, isMissing } from '../host/root.ts';
import { paths } from '../pair/state.ts';
import type { Conflict } from '../pair/sync-reports.ts';
import type { CommandContext } from './context.ts';

/** More than this is not shown as a text (bytes). */
const MOST = 1_000_000;

/** Both versions of a conflict as latin1 text, or why they are not shown. */
export type ComparedTexts = { readonly kept: string; readonly current: string } | { readonly why: string };

/** The kept copy and the file as it is now; never follows a link in place of a file. */
export function comparedTexts({ host, profile }: CommandContext, { set, path, kept }: Conflict): ComparedTexts {
  const folder = profile.dataSets.find(({ name }) => name === set)?.path;
  if (folder === undefined) return { why: `The profile ${profile.name} has no data set "${set}" any more.` };
  const ours = `${paths.kept}/`;
  const copy = textAt(kept.startsWith(ours) ? placeOf(at(host.root, ours), kept.slice(ours.length)) : undefined);
  if ('why' in copy) return { why: `The kept copy ${copy.why}.` };
  const current = textAt(placeOf(at(host.root, folder), path));
  return 'why' in current ? { why: `The file ${current.why} now.` } : { kept: copy.text, current: current.text };
}

/**
 * A name that can't stand on a screen is told in its shown form: the file is the one whose name is shown so.
 * @returns undefined where there is none
 */
function placeOf(base: string, shown: string): Buffer | undefined {
  let place = Buffer.from(base);
  for (const [depth, part] of shown.split('/').entries()) {
    if (depth > 0 && !fs.lstatSync(place).isDirectory()) return undefined;
    const name = namesIn(place).find((one) => shownPath(one.toString('latin1')) === part);
    if (!name) return undefined;
    place = Buffer.concat([place, Buffer.from('/'), name]);
  }
  return place;
}

function namesIn(folder: Buffer): Buffer[] {
  try {
    return fs.readdirSync(folder, { encoding: 'buffer' });
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}

function textAt(place: Buffer | undefined): { readonly text: string } | { readonly why: string } {
  const stat = place && fs.lstatSync(place, { throwIfNoEntry: false });
  if (!place || !stat) return { why: 'is gone' };
  if (!stat.isFile()) return { why: 'is no regular file' };
  if (stat.size > MOST) return { why: 'is larger than 1 MB' };
  const file = fs.openSync(place, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
  try {
    const content = fs.readFileSync(file);
    // A text holds no NUL; diff(1) tells them apart in the same way.
    return content.includes(0) ? { why: 'is no text' } : { text: content.toString('latin1') };
  } finally {
    fs.closeSync(file);
  }
}
