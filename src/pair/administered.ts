import { CmsadmError } from '../errors.ts';
import type { Root } from '../host/root.ts';
import type { Profile } from '../profile/schema.ts';
import { type ManagedFact, managedFact } from './facts.ts';

/** What belongs to one server alone, and is never carried to the other one. */
export const ownFolder = '/var/lib/cmsadm/own';

/** The data set that holds what the menu administers; admin-sync carries it. */
const ADMINISTRATION = 'administration';

/** The folder of what the menu administers. @throws CmsadmError profile-invalid where the profile has none */
export function administrationFolder({ dataSets, name }: Profile): string {
  const set = dataSets.find((one) => one.name === ADMINISTRATION);
  if (set) return set.path;
  throw new CmsadmError('profile-invalid', `The profile "${name}" has no data set ${ADMINISTRATION}.`, {
    remedy: `Add one to its dataSets: { name: ${ADMINISTRATION}, path: FOLDER }.`,
  });
}

const isBelow = (folder: string, path: string): boolean => path.startsWith(`${folder}/`);

/** True for a file that a change of what is administered may write: below one of two folders, and no backup of ours. */
export function isAdministered(profile: Profile, path: string): boolean {
  const isPlain = path.split('/').every((part, index) => (part !== '' || index === 0) && part !== '.' && part !== '..');
  return (
    isPlain &&
    !path.includes('\0') &&
    !/\.zdt_\d+_\d+/.test(path) &&
    [administrationFolder(profile), ownFolder].some((folder) => isBelow(folder, path))
  );
}

/**
 * An administered file as it is.
 * @throws CmsadmError path-refused
 */
export function administeredFact(
  root: Root,
  profile: Profile,
  file: { readonly path: string; readonly mode?: number; readonly secret?: boolean },
): ManagedFact {
  const { path, mode, secret = false } = file;
  if (!isAdministered(profile, path))
    throw new CmsadmError('path-refused', `${JSON.stringify(path)} is no file that is administered.`, { file: path });
  const isOwn = isBelow(ownFolder, path);
  return managedFact(root, {
    kind: 'administered',
    path,
    step: 'administration',
    owners: ['root'],
    mode: mode ?? (isOwn ? 0o600 : 0o644),
    create: true,
    secret,
    services: [],
  });
}
