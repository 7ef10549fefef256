import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import { list, type Root, readText } from '../host/root.ts';
import { removeDurably, writeState } from '../host/writing.ts';
import { type Pair, paths } from '../pair/state.ts';

const ending = '.undecided';
const fileOf = (set: string): string => `${paths.sync}/${set}${ending}`;

/**
 * A data set of which this server had versions of its own when it came back to a pair of a newer epoch: nothing of it is
 * taken here until a person has said which server's versions stay.
 */
export const undecidedSchema = v.object({
  /** Names whose version here the other server never had; null where they could not be compared. */
  own: v.nullable(v.number()),
  /** The epoch under which they were made. */
  epoch: v.number(),
  at: v.string(),
});
export type Undecided = v.InferOutput<typeof undecidedSchema>;

/** Marks a data set, over restarts and boots. */
export const markUndecided = (root: Root, set: string, mark: Undecided): void =>
  writeState(root, fileOf(set), `${JSON.stringify(mark)}\n`);

/** The decision was made, or is no longer to be made here. */
export const clearUndecided = (root: Root, set: string): void => removeDurably(root, fileOf(set));

/** The mark of a data set; a damaged one still is one. */
export function readUndecided(root: Root, set: string): Undecided | undefined {
  const text = readText(root, fileOf(set));
  if (text === undefined) return undefined;
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), undecidedSchema), text);
  return parsed.success ? parsed.output : { own: null, epoch: 0, at: '' };
}

/** All marked data sets of this server, by name. */
export const allUndecided = (root: Root): Record<string, Undecided> =>
  Object.fromEntries(
    list(root, paths.sync).flatMap((file) => {
      const set = file.endsWith(ending) ? file.slice(0, -ending.length) : '';
      const mark = set === '' ? undefined : readUndecided(root, set);
      return mark ? [[set, mark] as const] : [];
    }),
  );

/** Why a data set waits, with both servers and what to type; the same on both. */
export function undecidedError({ primary, secondary, epoch }: Pair, set: string, mark: Undecided): CmsadmError {
  const names =
    mark.own === null
      ? 'and could not be compared'
      : `with ${mark.own === 1 ? 'a change' : `${mark.own} changes`} of its own`;
  return new CmsadmError(
    'set-undecided',
    `${secondary.fqdn} came back ${names}, while ${primary.fqdn} administered (epoch ${epoch}, there it was ${mark.epoch}). ` +
      `Compare on ${primary.fqdn}: cmsadm sync diff ${set}. Then say there whose versions stay: ` +
      `cmsadm sync keep ${primary.fqdn} --set ${set}, or cmsadm sync keep ${secondary.fqdn} --set ${set}.`,
    { remedy: `Decide on ${primary.fqdn}; the versions that lose are kept aside.` },
  );
}
