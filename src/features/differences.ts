import { CmsadmError } from '../errors.ts';
import { readTarget, readText, sha256 } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import type { Profile } from '../profile/schema.ts';
import { placesOf, unitFile } from './places.ts';
import { readRecord, recordedNames, type Version } from './record.ts';
import { settingsText } from './settings-file.ts';
import { changedFiles } from './stage-version.ts';
import { runsHere } from './stand.ts';
import { readAllWanted, type WantedPackage } from './wanted-package.ts';
import { openWanted } from './wanted-zip.ts';

/** What of this server is not as the files of the feature packages want it: a line each. */
export async function differencesOfAll(host: Host, profile: Profile): Promise<string[]> {
  const recorded = recordedNames(host.root);
  const all = readAllWanted(host.root, profile, recorded);
  if (!all) return [];
  const names = [...all.packages.map(({ name }) => name), ...all.unclear.keys()];
  const lines = recorded
    .filter((name) => !names.includes(name))
    .map((name) => `${name}: still here, not wanted any more`);
  for (const [name, why] of all.unclear) lines.push(`${name}: ${why}`);
  for (const wanted of all.packages) lines.push(...(await differencesOf(host, profile, wanted)));
  return lines;
}

/** The same for one package. */
export async function differencesOf(host: Host, profile: Profile, wanted: WantedPackage): Promise<string[]> {
  const { name } = wanted;
  const installed = readRecord(host.root, name)?.installed;
  if (installed?.package !== wanted.package) {
    const here = installed ? `${installed.manifest.version} here` : 'not here';
    return [`${name}: ${wanted.version} is wanted, ${here}${await reason(host, profile, wanted)}`];
  }
  return [...editedOf(host, installed, wanted), ...(await unitsOf(host, installed, wanted))].map(
    (line) => `${name}: ${line}`,
  );
}

async function reason(host: Host, profile: Profile, wanted: WantedPackage): Promise<string> {
  try {
    await openWanted(host, profile, wanted);
    return '';
  } catch (error) {
    if (error instanceof CmsadmError) return `: ${error.message}`;
    throw error;
  }
}

function editedOf({ root }: Host, { folder, manifest }: Version, wanted: WantedPackage): string[] {
  const { version, current, settings } = placesOf(manifest.name);
  const text = readText(root, settings);
  const units = manifest.units.flatMap(({ name }) => {
    const there = readText(root, unitFile(name));
    const ours = manifest.files.find(({ path }) => path === `units/${name}`)?.sha256;
    if (there === undefined) return [`${unitFile(name)} is missing`];
    return sha256(there) === ours ? [] : [`${unitFile(name)} was edited`];
  });
  return [
    ...(readTarget(root, current) === folder ? [] : [`${current} does not lead to ${folder}`]),
    ...changedFiles(root, version(folder), manifest.files).map(({ path, what }) =>
      what === 'missing' ? `${path} is missing` : `${path} was edited`,
    ),
    ...units,
    ...(text === settingsText(manifest, wanted.settings) ? [] : [`${settings} is not as config_pkg was told`]),
  ];
}

async function unitsOf(host: Host, installed: Version, wanted: WantedPackage): Promise<string[]> {
  const { units } = installed.manifest;
  const runs = runsHere(host, installed.manifest, wanted);
  if (units.length === 0 || runs === undefined) return [];
  const started = units.filter(({ starts }) => starts).map((unit) => unit.name);
  const states = await host.system.units(units.map((unit) => unit.name));
  if (!runs)
    return units
      .filter(({ name, starts }) => {
        const state = states[name];
        return state?.active || state?.changing === 'starting' || (starts && state?.enabled);
      })
      .map((unit) => `${unit.name} runs, and shall not here`);
  return started
    .filter((unit) => !states[unit]?.active || !states[unit]?.enabled)
    .map((unit) => `${unit} does not run`);
}
