import { administrationFolder, ownFolder } from '../pair/administered.ts';
import type { Profile } from '../profile/schema.ts';

/** Everything of a server's feature packages lies below this folder, but for their units. */
export const featuresFolder = '/opt/cmsadm-packages';

/** What a version is called on disk: two packages that call themselves the same version are still two. */
export const folderName = (version: string, digest: string): string => `${version}-${digest.slice(0, 12)}`;

/** Where one package lies on a server. */
export const placesOf = (name: string) => {
  const home = `${featuresFolder}/${name}`;
  return {
    home,
    /** A link to the folder of the version in use. */
    current: `${home}/current`,
    version: (folder: string): string => `${home}/${folder}`,
    /** A version that is not whole yet. */
    staged: (folder: string): string => `${home}/.${folder}.staged`,
    /** The settings, as systemd's EnvironmentFile and a shell read them. */
    settings: `${home}/settings.env`,
    /** What the package itself writes; kept when it goes. */
    data: `${dataFolder}/${name}`,
    /** What this server knows of it. */
    record: `${recordFolder}/${name}.json`,
  };
};

const dataFolder = '/var/lib/cmsadm-packages';
export const recordFolder = `${ownFolder}/packages`;
export const unitFolder = '/etc/systemd/system';
export const unitFile = (unit: string): string => `${unitFolder}/${unit}`;

/** The folder that says which packages both servers shall have; admin-sync carries it. */
export const wantedFolder = (profile: Profile): string => `${administrationFolder(profile)}/packages`;

/** The files that say what is wanted of one package. */
export const wantedPlaces = (profile: Profile, name: string) => {
  const folder = `${wantedFolder(profile)}/${name}`;
  return {
    wanted: `${folder}/wanted.yaml`,
    zip: `${folder}/package.zip`,
    /** The licence by which it was authorised. */
    licence: `${folder}/licence.zip`,
  };
};
