import * as v from 'valibot';
import { parse, stringify } from 'yaml';
import { CmsadmError } from '../errors.ts';
import { isFolder, type Root, readText } from '../host/root.ts';
import { administrationFolder } from '../pair/administered.ts';
import type { Profile } from '../profile/schema.ts';
import { whyNoName } from './names.ts';

const wantedSchema = v.strictObject({
  access: v.picklist(['public', 'restricted']),
  members: v.array(
    v.pipe(
      v.string(),
      v.check((name) => whyNoName(name) === undefined, 'is no name that can be granted anything'),
    ),
  ),
});
/** What the operator decided for the databases of both servers. */
export type WantedAccess = v.InferOutput<typeof wantedSchema>;

/** The file of database access, below the administration folder. */
export const accessFile = (profile: Profile): string => `${administrationFolder(profile)}/database-access.yaml`;

const heading =
  '# Who may connect to the database, as `cmsadm dbaccess` was told. Each server grants it in its own database.\n';

/** The file's text, latin1. */
export const printAccess = ({ access, members }: WantedAccess): string =>
  heading + stringify({ access, members: [...members] });

/**
 * What is wanted; undefined where nobody ever decided, or the decision was taken back.
 * @throws CmsadmError administration-missing, access-unreadable: nothing may be granted or revoked then
 */
export function readAccess(root: Root, profile: Profile): WantedAccess | undefined {
  const file = accessFile(profile);
  const folder = administrationFolder(profile);
  if (!isFolder(root, folder))
    throw new CmsadmError('administration-missing', `The folder ${folder} is not there: all grants stay as they are.`, {
      file: folder,
      remedy: `Mount or make ${folder}.`,
    });
  const text = readText(root, file);
  if (text === undefined) return undefined;
  try {
    return v.parse(wantedSchema, parse(text));
  } catch (cause) {
    const why = cause instanceof Error ? (cause.message.split('\n')[0] ?? '') : '';
    throw new CmsadmError('access-unreadable', `${file} can't be understood: ${why}. All grants stay as they are.`, {
      file,
      cause,
      remedy: 'Correct it (access: public or restricted, members: a list of names), or restore a backup beside it.',
    });
  }
}
