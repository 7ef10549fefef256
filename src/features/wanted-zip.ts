import { CmsadmError } from '../errors.ts';
import { compareVersions } from '../ha/upgrade.ts';
import { versionOf as programVersion } from '../host/program-version.ts';
import { at, readText } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { openLicence, requireFeature } from '../licence/licence.ts';
import type { FeatureManifest } from '../packages/feature-manifest.ts';
import { type FeaturePackage, openFeaturePackage } from '../packages/feature-package.ts';
import { sha256 } from '../packages/manifest.ts';
import type { Profile } from '../profile/schema.ts';
import { wantedPlaces } from './places.ts';
import { readRecord } from './record.ts';
import type { WantedPackage } from './wanted-package.ts';

/**
 * The package that is wanted, from the file that both servers have: authorised and verified here anew, whoever did so
 * before.
 * @throws CmsadmError package-not-here while the file is on its way, those of the package, the licence and its needs
 */
export async function openWanted(host: Host, profile: Profile, wanted: WantedPackage): Promise<FeaturePackage> {
  const { zip, licence } = wantedPlaces(profile, wanted.name);
  const bytes = contentOf(host, zip, wanted.package);
  const found = await openFeaturePackage(async () => bytes, zip, profile.trust);
  const { name, version, licenceFeature } = found.manifest;
  if (name !== wanted.name || version !== wanted.version)
    throw new CmsadmError(
      'package-not-here',
      `${zip} holds ${name} ${version}, not ${wanted.name} ${wanted.version}.`,
      {
        file: zip,
        remedy: 'Install the package again with pkg_install.',
      },
    );
  if (licenceFeature !== null) {
    contentOf(host, licence, wanted.licence);
    await authorise(host, profile, licence, licenceFeature);
  }
  refuseUnlessNeedsMet(host, found.manifest);
  return found;
}

/** @returns the serial number of the licence @throws CmsadmError licence-…, those of a licence that can't be used */
export async function authorise(host: Host, { trust }: Profile, path: string, feature: string): Promise<string> {
  const licence = await openLicence(at(host.root, path), trust, new Date(host.system.clock()));
  requireFeature(licence, feature);
  return licence.serial;
}

function contentOf({ root }: Host, path: string, digest: string | null): Buffer {
  const text = readText(root, path);
  const bytes = text === undefined ? undefined : Buffer.from(text, 'latin1');
  if (bytes && sha256(bytes) === digest) return bytes;
  throw new CmsadmError('package-not-here', bytes ? `${path} is not the one that is wanted.` : `${path} is not here.`, {
    file: path,
    remedy: 'Wait for admin-sync; if it stays so, install the package again with pkg_install.',
  });
}

/** @throws CmsadmError needs-unmet, naming all that is missing here */
export function refuseUnlessNeedsMet(host: Host, { title, needs }: FeatureManifest): void {
  const missing = [
    ...(needs.cmsadm !== undefined && compareVersions(programVersion(host.programRoot), needs.cmsadm) < 0
      ? [`cmsadm ${needs.cmsadm} or later`]
      : []),
    ...needs.packages.flatMap(({ name, atLeast }) => {
      const there = readRecord(host.root, name)?.installed;
      return there && compareVersions(there.manifest.version, atLeast) >= 0 ? [] : [`${name} ${atLeast} or later`];
    }),
  ];
  if (missing.length === 0) return;
  throw new CmsadmError('needs-unmet', `${title} needs what is not installed here: ${missing.join(', ')}.`, {
    remedy: 'Install that first.',
  });
}
