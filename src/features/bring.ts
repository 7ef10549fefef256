import { CmsadmError, explained } from '../errors.ts';
import { readTarget } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { removeTree } from '../host/writing.ts';
import type { FeaturePackage } from '../packages/feature-package.ts';
import { clearHome, takeVersionAway } from './clear-home.ts';
import { hookOf, type RunHook } from './hooks.ts';
import { placesOf } from './places.ts';
import { type FeatureRecord, noRecord, writeRecord } from './record.ts';
import { settingsText } from './settings-file.ts';
import { stageVersion, versionOf } from './stage-version.ts';
import { refuseForeignUnits, switchTo } from './switch-version.ts';
import type { WantedPackage } from './wanted-package.ts';

/**
 * Brings a version of a package to this server, in the place of the one that is here: staged as a whole, its hook run,
 * then switched to. What fails leaves the server as it was; what dies half-way is taken up by the next call.
 * @param runs whether its units run here; undefined: nobody can say now
 * @returns what was done, a line each
 * @throws CmsadmError unit-foreign, hook-failed, service-failed, unit-not-running
 */
export async function bring(
  host: Host,
  found: FeaturePackage,
  wanted: WantedPackage,
  record: FeatureRecord | undefined,
  runs: boolean | undefined,
  run?: RunHook,
): Promise<string[]> {
  const { root } = host;
  const { name } = found.manifest;
  const known = record ?? noRecord;
  const to = versionOf(root, found, known.coming);
  refuseForeignUnits(host, to, known, (unit) => found.read(`units/${unit}`).toString('latin1'));
  const settings = settingsText(found.manifest, wanted.settings);
  const begun: FeatureRecord = {
    ...known,
    coming: to,
    comingSettings: settings,
    // What an earlier attempt left of another version has to go, but for a folder that is taken again.
    leaving: [...known.leaving, ...(known.coming ? [known.coming] : [])].filter(({ folder }) => folder !== to.folder),
  };
  writeRecord(root, name, begun);
  const lines: string[] = [];
  try {
    stageVersion(root, to, found);
    await hookOf(host, to, 'install', [known.installed?.manifest.version ?? '-'], run);
    lines.push(...(await switchTo(host, to, begun, settings, runs)));
  } catch (error) {
    // A full disk may keep the link from being put back: then the version stays, and the next call goes on with it.
    if (readTarget(root, placesOf(name).current) === to.folder) throw error;
    removeTree(root, placesOf(name).staged(to.folder));
    removeTree(root, placesOf(name).version(to.folder));
    const before = { ...begun, coming: null, comingSettings: null };
    writeRecord(root, name, before);
    if (known.installed === null) clearHome(host, name, before);
    throw error;
  }
  const leaving = [...begun.leaving, ...(known.installed ? [known.installed] : [])];
  const installed: FeatureRecord = { installed: to, coming: null, leaving, settings, comingSettings: null };
  writeRecord(root, name, installed);
  const was = known.installed?.manifest.version;
  return [
    `${name}: ${to.manifest.version} installed${was === undefined ? '' : `, was ${was}`}`,
    ...lines,
    ...sweep(host, name, installed).lines,
  ];
}

/**
 * Takes away what earlier versions left; what somebody edited stays beside it.
 * @returns the record as it is then, and a line for each file that stays, or for a version that does not go yet
 */
export function sweep<Known extends FeatureRecord>(
  { root }: Host,
  name: string,
  record: Known,
): { readonly record: Known; readonly lines: string[] } {
  if (record.leaving.length === 0) return { record, lines: [] };
  try {
    const kept = record.leaving.flatMap((version) => takeVersionAway(root, version));
    const swept = { ...record, leaving: [] };
    writeRecord(root, name, swept);
    return { record: swept, lines: kept.map((path) => `${name}: not ours, stays: ${path}`) };
  } catch (thrown) {
    // What came is whole and runs: the next look tries again.
    const error = explained(thrown);
    if (!(error instanceof CmsadmError)) throw error;
    return { record, lines: [`${name}: an earlier version does not go yet: ${error.message}`] };
  }
}
