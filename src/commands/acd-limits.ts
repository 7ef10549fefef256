import { acdProfile } from '../acd/hooks.ts';
import type { Limits } from '../acd/questions.ts';
import { at, isThere, type Root } from '../host/root.ts';
import { openLicence } from '../licence/licence.ts';
import { readPair } from '../pair/state.ts';
import type { CommandContext, Given } from './context.ts';
import { setupParameters } from './parameters.ts';

/** What the licence and the profile allow, and by which licence. */
export type KnownLimits = Limits & { readonly licence: string | undefined };

/**
 * The limits of ACDs: the profile's, and the counts of the licence that was given, or with which the pair was set up.
 * A feature that the licence does not name sets no limit.
 * @throws CmsadmError no-acds, those of openLicence
 */
export async function acdLimits({ host, profile }: CommandContext, given: Given): Promise<KnownLimits> {
  const { max, members, features } = acdProfile(profile);
  const path = given[setupParameters.licencePackage.name] ?? savedLicence(host.root);
  if (path === undefined) return { acds: max, members, licence: undefined };
  const licence = await openLicence(at(host.root, path), profile.trust, new Date(host.system.clock()));
  const counted = (feature: string | undefined, most: number): number =>
    feature !== undefined && Object.hasOwn(licence.features, feature)
      ? Math.min(most, licence.features[feature]?.count ?? 0)
      : most;
  return { acds: counted(features.acds, max), members: counted(features.members, members), licence: licence.serial };
}

/** The licence of the set up, which lies on the server where that was run: after a reversal the other one has none. */
function savedLicence(root: Root): string | undefined {
  const path = readPair(root)?.licencePackage ?? '';
  return path !== '' && isThere(root, path) ? path : undefined;
}
