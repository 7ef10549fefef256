import type { Host } from '../host/system.ts';
import { rolesOf } from '../packages/feature-manifest.ts';
import type { Profile } from '../profile/schema.ts';
import { differencesOf, differencesOfAll } from './differences.ts';
import { readRecord, recordedNames } from './record.ts';
import { runsHere, standAsWanted } from './stand.ts';
import { readAllWanted } from './wanted-package.ts';

/** Each server's own part of the feature packages. */
export const featurePackages = {
  name: 'feature packages',
  apply: (host: Host, profile: Profile) => standAsWanted(host, profile),
  report: differencesOfAll,
};

/** One feature package as screens and `--json` tell it, seen from this server. */
export type PackageLine = {
  readonly name: string;
  readonly title: string;
  readonly version: string;
  /** `none` for a package without units: it is in effect while it is installed. */
  readonly state: 'on' | 'off' | 'none';
  readonly runsOn: 'primary' | 'secondary' | 'both';
  /** Whether its units run on this server; null where nobody can say. */
  readonly here: boolean | null;
  /** What is not as it is wanted here: a line each. */
  readonly differs: readonly string[];
};

/** @throws CmsadmError packages-missing, state-unreadable */
export async function listPackages(host: Host, profile: Profile): Promise<PackageLine[]> {
  const all = readAllWanted(host.root, profile, recordedNames(host.root));
  return Promise.all(
    (all?.packages ?? []).map(async (wanted) => {
      const { name, title, version, on, settings } = wanted;
      const manifest = readRecord(host.root, name)?.installed?.manifest;
      const runs = manifest && runsHere(host, manifest, wanted);
      return {
        name,
        title,
        version,
        state: manifest?.units.length === 0 ? ('none' as const) : on ? ('on' as const) : ('off' as const),
        runsOn: manifest ? rolesOf(manifest, settings) : 'both',
        here: runs ?? null,
        differs: await differencesOf(host, profile, wanted),
      };
    }),
  );
}
