import { CmsadmError, explained } from '../errors.ts';
import { at, readTarget, readText, sha256 } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { pointLink, removeDurably } from '../host/writing.ts';
import { placesOf, unitFile, unitFolder } from './places.ts';
import type { FeatureRecord, Version } from './record.ts';
import { hasContent, replaceOwn, takeAllAway, writeOwn } from './take-away.ts';
import { standUnits } from './unit-states.ts';

/** The units of some versions, each once. */
const unitsOf = (versions: readonly (Version | null)[]): string[] => [
  ...new Set(versions.flatMap((version) => version?.manifest.units.map(({ name }) => name) ?? [])),
];

/** The text of a unit as a version's folder has it. */
const unitText = ({ root }: Host, { folder, manifest }: Version, unit: string): string =>
  readText(root, `${placesOf(manifest.name).version(folder)}/units/${unit}`) ?? '';

/** @throws CmsadmError unit-foreign: a unit of that name is there, and not by this package */
export function refuseForeignUnits(
  { root }: Host,
  version: Version,
  record: FeatureRecord,
  text: (unit: string) => string,
): void {
  const known = unitsOf([record.installed, record.coming, ...record.leaving]);
  for (const { name } of version.manifest.units) {
    const file = unitFile(name);
    const there = readText(root, file);
    if (there === undefined || known.includes(name) || there === text(name)) continue;
    throw new CmsadmError('unit-foreign', `${file} is there already, and not by this package.`, {
      file,
      remedy: 'Move it away if nobody needs it, then run the command again.',
    });
  }
}

/**
 * Puts a version into use: settings, units, then the link; and has its units run or not. What fails is put back.
 * @returns what was done, a line each
 */
export async function switchTo(
  host: Host,
  to: Version,
  record: FeatureRecord,
  settings: string,
  runs: boolean | undefined,
): Promise<string[]> {
  const { root, system } = host;
  const { name } = to.manifest;
  const places = placesOf(name);
  const own = to.manifest.units.map((unit) => unit.name);
  const all = unitsOf([record.installed, record.coming, ...record.leaving, to]);
  const dropped = all.filter((unit) => !own.includes(unit));
  const files = [...all.map(unitFile), places.settings];
  const before = {
    link: readTarget(root, places.current),
    texts: files.map((file) => ({ file, text: readText(root, file) })),
    states: await system.units(all),
  };
  const lines: string[] = [];
  const keep = (kept: string | undefined): void => {
    if (kept !== undefined) lines.push(`${name}: an edited file stays as ${kept}`);
  };
  try {
    await stopUnits(host, dropped);
    keep(replaceOwn(root, places.settings, settings, ownSettings(record)));
    for (const unit of own) keep(replaceUnit(host, unit, to, record));
    for (const kept of dropUnits(host, dropped, record)) keep(kept);
    pointLink(root, places.current, to.folder);
    await system.label(
      [...own.map(unitFile), ...to.manifest.files.map(({ path }) => `${places.version(to.folder)}/${path}`)].map(
        (file) => at(root, file),
      ),
    );
    if (all.length > 0) await system.reloadUnitFiles();
    return [...lines, ...(await standUnits(host, to.manifest, runs, true))];
  } catch (error) {
    await putBack();
    throw error;
  }

  async function putBack(): Promise<void> {
    const were = (what: 'active' | 'enabled'): string[] => all.filter((unit) => before.states[unit]?.[what] === true);
    // The link first: what it leads to is what runs. Each step is tried, whatever became of the one before.
    await quietly(async () => {
      if (before.link === undefined) removeDurably(root, places.current);
      else if (readTarget(root, places.current) !== before.link) pointLink(root, places.current, before.link);
    });
    const active = were('active');
    // While their files are there: systemd disables no unit that it does not find.
    await quietly(() =>
      stopUnits(
        host,
        all.filter((unit) => !active.includes(unit)),
      ),
    );
    for (const { file, text } of before.texts)
      await quietly(async () => {
        if (text === undefined) removeDurably(root, file);
        else if (!hasContent(root, file, text)) writeOwn(root, file, text);
      });
    if (all.length === 0) return;
    await quietly(() => system.reloadUnitFiles());
    await quietly(() => system.control('enable', were('enabled')));
    await quietly(() => system.control('restart', active));
  }
}

/** The digests of what may stand in the settings file by us. */
export const ownSettings = ({ settings, comingSettings }: FeatureRecord): string[] =>
  [settings, comingSettings].filter((text) => text !== null).map(sha256);

const replaceUnit = (host: Host, unit: string, to: Version, record: FeatureRecord): string | undefined =>
  replaceOwn(host.root, unitFile(unit), unitText(host, to, unit), unitDigests(unit, record));

/** Takes units away. @returns the names under which edited ones stay */
const dropUnits = ({ root }: Host, units: readonly string[], record: FeatureRecord): string[] =>
  takeAllAway(
    root,
    unitFolder,
    units.map((unit) => ({ path: unitFile(unit), ours: unitDigests(unit, record) })),
  );

/** The digests of what may stand in a unit's file by us. */
const unitDigests = (unit: string, { installed, coming, leaving }: FeatureRecord): string[] =>
  [installed, coming, ...leaving].flatMap(
    (version) => version?.manifest.files.find(({ path }) => path === `units/${unit}`)?.sha256 ?? [],
  );

/** Stops units and takes them from the boot; those that systemd does not know are passed over. */
async function stopUnits({ system }: Host, units: readonly string[]): Promise<void> {
  const states = await system.units(units);
  await system.control(
    'stop',
    units.filter((unit) => states[unit]?.active || states[unit]?.changing || states[unit]?.failed),
  );
  await system.control(
    'disable',
    units.filter((unit) => states[unit]?.enabled),
  );
}

/** Takes all units of a package away. @returns the names under which edited ones stay */
export async function removeUnits(host: Host, record: FeatureRecord): Promise<string[]> {
  const all = unitsOf([record.installed, record.coming, ...record.leaving]);
  if (all.length === 0) return [];
  await stopUnits(host, all);
  const kept = dropUnits(host, all, record);
  await host.system.reloadUnitFiles();
  return kept;
}

/** While something is put back, a second failure must not hide the first one. */
async function quietly(work: () => Promise<unknown>): Promise<void> {
  try {
    await work();
  } catch (error) {
    if (!(explained(error) instanceof CmsadmError)) throw error;
  }
}
