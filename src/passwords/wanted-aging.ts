import * as v from 'valibot';
import { parse, stringify } from 'yaml';
import { CmsadmError } from '../errors.ts';
import { isFolder, type Root, readText } from '../host/root.ts';
import { administrationFolder } from '../pair/administered.ts';
import type { Profile } from '../profile/schema.ts';

export const WEEKS = { least: 1, most: 52, usual: 9 } as const;

/** As useradd(8) takes a name, with the upper case and dots that some sites allow. */
const userName = v.pipe(v.string(), v.regex(/^[A-Za-z_][A-Za-z0-9_.-]{0,31}\$?$/, 'is no name of a user'));

const wantedSchema = v.strictObject({
  aging: v.picklist(['on', 'off']),
  weeks: v.pipe(v.number(), v.integer(), v.minValue(WEEKS.least), v.maxValue(WEEKS.most)),
  exclude: v.array(userName),
});
/** What the operator decided for both servers. */
export type WantedAging = v.InferOutput<typeof wantedSchema>;

/** As before anybody decided anything. */
export const neverDecided: WantedAging = { aging: 'off', weeks: WEEKS.usual, exclude: [] };

/** The file of password aging, below the administration folder. */
export const agingFile = (profile: Profile): string => `${administrationFolder(profile)}/password-aging.yaml`;

const heading = '# Password aging, as `cmsadm passwd_age` was told. Each server applies it to its own accounts.\n';

/** The file's text, latin1. */
export const printAging = ({ aging, weeks, exclude }: WantedAging): string =>
  heading + stringify({ aging, weeks, exclude: [...exclude] });

/**
 * What is wanted; a missing file means that nothing was ever decided, or that this was taken back.
 * @throws CmsadmError administration-missing, aging-unreadable: nothing may be changed then
 */
export function readAging(root: Root, profile: Profile): WantedAging {
  const file = agingFile(profile);
  const folder = administrationFolder(profile);
  if (!isFolder(root, folder))
    throw new CmsadmError('administration-missing', `The folder ${folder} is not there: all ages stay as they are.`, {
      file: folder,
      remedy: `Mount or make ${folder}.`,
    });
  const text = readText(root, file);
  if (text === undefined) return neverDecided;
  try {
    return v.parse(wantedSchema, parse(text));
  } catch (cause) {
    const why = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : '';
    throw new CmsadmError('aging-unreadable', `${file} can't be understood: ${why}. All ages stay as they are.`, {
      file,
      cause,
      remedy: 'Correct it (aging: on or off, weeks: 1 to 52, exclude: a list of names), or restore a backup beside it.',
    });
  }
}

/**
 * A list of user names as somebody types it, with commas or blanks between them; `none` is the empty list.
 * @throws CmsadmError exclude-empty, exclude-refused
 */
export function parseExclude(answer: string): string[] {
  const names = answer.split(/[\s,]+/).filter((name) => name !== '');
  if (names.length === 0)
    throw new CmsadmError('exclude-empty', 'Nobody was named.', {
      remedy: 'Type the names of the users whose passwords shall not age, or none if there is no such user.',
    });
  if (names.length === 1 && names[0] === 'none') return [];
  const wrong = names.filter((name) => name === 'none' || !v.is(userName, name));
  if (wrong.length > 0)
    throw new CmsadmError(
      'exclude-refused',
      `No name of a user: ${wrong.map((name) => JSON.stringify(name)).join(', ')}.`,
      {
        remedy: 'Names have letters, digits and _ . -, at most 32, with commas between them.',
      },
    );
  return [...new Set(names)].sort();
}
