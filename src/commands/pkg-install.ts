import { CmsadmError } from '../errors.ts';
import { placesOf, wantedPlaces } from '../features/places.ts';
import { readRecord } from '../features/record.ts';
import { printWanted, readWanted, type WantedPackage } from '../features/wanted-package.ts';
import { authorise, refuseUnlessNeedsMet } from '../features/wanted-zip.ts';
import { compareVersions } from '../ha/upgrade.ts';
import { isThere, readText } from '../host/root.ts';
import { type FeaturePackage, readFeaturePackage } from '../packages/feature-package.ts';
import { sha256 } from '../packages/manifest.ts';
import { settingsFrom } from '../packages/setting.ts';
import { readPair } from '../pair/state.ts';
import { count } from '../printable.ts';
import type { AdministrativePlan } from './administer.ts';
import { checkFile } from './checks.ts';
import { type CommandContext, type CommandOutcome, declined, type Given, settleAnswers } from './context.ts';
import { awaitOther } from './other-stands.ts';
import { packageParameters, setupParameters } from './parameters.ts';
import { changePackage } from './pkg-change.ts';
import { tellPackages } from './pkg-list.ts';

/**
 * Option 4: installs a feature package, or another version of it: authorised, verified, staged, switched to, recorded;
 * in a pair on both servers; the other one is waited for a few seconds, and told of where it takes longer.
 * @throws CmsadmError those of the package and the licence, needs-unmet, version-older, version-taken
 */
export async function pkgInstall(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const { host, profile } = context;
  await tellPackages(context);
  let found: FeaturePackage | undefined;
  const { package: path } = await settleAnswers(
    [
      {
        parameter: packageParameters.package,
        check: async (typed) => {
          if (typed.trim() === 'q') return 'q';
          found = await readFeaturePackage(checkFile(host.root, typed.trim()), profile.trust);
          refuseUnlessNeedsMet(host, found.manifest);
          refuseVersion(context, found);
          return typed.trim();
        },
      },
    ],
    given,
    context,
  );
  if (path === 'q' || found === undefined) return declined(context, 'install a feature package');
  const licence = await settleLicence(context, given, found);
  const plan = planOf(context, found, licence);
  let committed = 0;
  const outcome = await changePackage(context, found.manifest.name, plan, () => {
    committed = host.system.clock();
  });
  if (outcome.result['outcome'] !== 'done') return outcome;
  const secondary = await awaitOther(context, committed);
  return secondary ? { ...outcome, result: { ...outcome.result, secondary } } : outcome;
}

type UsedLicence = { readonly content: string; readonly serial: string } | undefined;

/** The licence by which it may be installed: given, else asked for, preset the one of the set up. */
async function settleLicence(
  context: CommandContext,
  given: Given,
  { manifest }: FeaturePackage,
): Promise<UsedLicence> {
  const { host, profile } = context;
  const { licenceFeature } = manifest;
  if (licenceFeature === null) return undefined;
  const parameter = setupParameters.licencePackage;
  const saved = savedLicences(context, manifest.name);
  const preset = await firstThatHolds(context, saved, licenceFeature);
  let serial = '';
  const answers = await settleAnswers(
    [
      {
        parameter,
        ...(preset === undefined ? {} : { preset }),
        check: async (typed) => {
          checkFile(host.root, typed.trim());
          serial = await authorise(host, profile, typed.trim(), licenceFeature);
          return typed.trim();
        },
      },
    ],
    given,
    context,
  );
  return { content: readText(host.root, answers[parameter.name] ?? '') ?? '', serial };
}

/** Licences that this server knows of: of this package's earlier version, and of the set up. */
function savedLicences({ host, profile }: CommandContext, name: string): string[] {
  return [wantedPlaces(profile, name).licence, readPair(host.root)?.licencePackage ?? ''].filter(
    (path) => path !== '' && isThere(host.root, path),
  );
}

async function firstThatHolds(
  { host, profile }: CommandContext,
  paths: readonly string[],
  feature: string,
): Promise<string | undefined> {
  for (const path of paths)
    try {
      await authorise(host, profile, path, feature);
      return path;
    } catch (error) {
      if (!(error instanceof CmsadmError)) throw error;
    }
  return undefined;
}

/** @throws CmsadmError version-older, version-taken */
function refuseVersion({ host, profile }: CommandContext, { manifest, digest }: FeaturePackage): void {
  const { name, version } = manifest;
  const wanted = readWanted(host.root, profile, name);
  const there = wanted?.version ?? readRecord(host.root, name)?.installed?.manifest.version;
  if (there === undefined) return;
  if (compareVersions(version, there) < 0)
    throw new CmsadmError('version-older', `${name} ${there} is installed; this is the older ${version}.`, {
      remedy: `Remove it first (pkg_remove) if ${version} is what you want.`,
    });
  if (version === there && wanted && wanted.package !== digest)
    throw new CmsadmError('version-taken', `${name} ${version} is installed, with other content than this.`, {
      remedy: 'Ask who published it for a version of its own, or remove the installed one first (pkg_remove).',
    });
}

function planOf(
  { host, profile }: CommandContext,
  found: FeaturePackage,
  licence: UsedLicence,
): Omit<AdministrativePlan, 'afterwards'> {
  const { manifest, bytes, digest, signer, size } = found;
  const { name, title, version, units, settings } = manifest;
  const places = wantedPlaces(profile, name);
  const before = readWanted(host.root, profile, name);
  const wanted: WantedPackage = {
    name,
    title,
    version,
    package: digest,
    licence: licence ? sha256(Buffer.from(licence.content, 'latin1')) : null,
    on: before?.on ?? false,
    settings: settingsFrom(settings, before?.settings ?? {}),
  };
  const was = before && before.version !== version ? `, was ${before.version}` : '';
  return {
    operation: `install ${name} ${version}`,
    files: [
      { path: places.zip, content: bytes.toString('latin1') },
      ...(licence ? [{ path: places.licence, content: licence.content }] : []),
      { path: places.wanted, content: printWanted(wanted) },
    ],
    notes: [
      `${title} ${version}${was}, signed by ${signer}${licence ? `, authorised by licence ${licence.serial}` : ''}.`,
      `${count(manifest.files.length, 'file')}, ${size} bytes, to ${placesOf(name).home} on each server.`,
      units.length === 0
        ? 'Nothing of it runs by itself.'
        : `Units: ${units.map((unit) => unit.name).join(', ')}; ${wanted.on ? 'on' : 'off until run_pkg turns it on'}.`,
      ...(settings.length === 0 ? [] : ['Its settings: config_pkg.']),
    ],
    result: {
      package: { name, title, version, digest, signer, ...(licence ? { licence: licence.serial } : {}) },
      on: wanted.on,
      settings: wanted.settings,
    },
  };
}
