import * as v from 'valibot';
import { parse, stringify } from 'yaml';
import { CmsadmError } from '../errors.ts';
import { isFolder, list, type Root, readText } from '../host/root.ts';
import { packageName } from '../packages/feature-manifest.ts';
import { digestText, versionText } from '../packages/manifest.ts';
import { settingName, settingValue } from '../packages/setting.ts';
import type { Profile } from '../profile/schema.ts';
import { wantedFolder, wantedPlaces } from './places.ts';

const wantedSchema = v.strictObject({
  name: packageName,
  title: v.string(),
  version: versionText,
  /** SHA-256 of package.zip. */
  package: digestText,
  /** SHA-256 of licence.zip; null for a package that needs none. */
  licence: v.nullable(digestText),
  on: v.boolean(),
  settings: v.record(settingName, settingValue),
});
/** One package as the operator wants it, on both servers of a pair. */
export type WantedPackage = v.InferOutput<typeof wantedSchema>;

export type AllWanted = {
  readonly packages: readonly WantedPackage[];
  /** Packages whose file can't be understood, and why: they stay as they are. */
  readonly unclear: ReadonlyMap<string, string>;
};

const heading =
  '# A feature package as pkg_install, run_pkg and config_pkg were told. Each server makes itself stand so.\n';

/** The file's text, latin1. */
export const printWanted = (wanted: WantedPackage): string =>
  Buffer.from(heading + stringify(wanted, { lineWidth: 0 })).toString('latin1');

/**
 * What is wanted. A folder that is away means nothing: only a package whose file is gone from a folder that is there is
 * not wanted any more.
 * @returns undefined where no package was ever installed
 * @throws CmsadmError packages-missing
 */
export function readAllWanted(root: Root, profile: Profile, known: readonly string[]): AllWanted | undefined {
  const folder = wantedFolder(profile);
  if (!isFolder(root, folder)) {
    if (known.length === 0) return undefined;
    throw new CmsadmError(
      'packages-missing',
      `The folder ${folder} is not there: all feature packages stay as they are.`,
      {
        file: folder,
        remedy: `Mount or make ${folder}.`,
      },
    );
  }
  const packages: WantedPackage[] = [];
  const unclear = new Map<string, string>();
  for (const name of list(root, folder)) {
    if (!v.is(packageName, name)) continue;
    const file = wantedPlaces(profile, name).wanted;
    const text = readText(root, file);
    if (text === undefined) continue;
    const wanted = understood(text);
    if (wanted?.name === name) packages.push(wanted);
    else unclear.set(name, `${file} can’t be understood`);
  }
  return { packages, unclear };
}

/** One package as it is wanted; undefined where it is not, or its file can't be understood. */
export function readWanted(root: Root, profile: Profile, name: string): WantedPackage | undefined {
  const text = readText(root, wantedPlaces(profile, name).wanted);
  const wanted = text === undefined ? undefined : understood(text);
  return wanted?.name === name ? wanted : undefined;
}

function understood(text: string): WantedPackage | undefined {
  try {
    return v.parse(wantedSchema, parse(Buffer.from(text, 'latin1').toString('utf8'), { maxAliasCount: 0 }));
  } catch {
    return undefined;
  }
}
