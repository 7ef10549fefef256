import { inTurn } from '../change/turn.ts';
import { CmsadmError, explained } from '../errors.ts';
import type { Host } from '../host/system.ts';
import { type FeatureManifest, rolesOf } from '../packages/feature-manifest.ts';
import type { Profile } from '../profile/schema.ts';
import { bring, sweep } from './bring.ts';
import { hookOf, type RunHook } from './hooks.ts';
import { placesOf } from './places.ts';
import { type FeatureRecord, readRecord, recordedNames, type Version, writeRecord } from './record.ts';
import { remove } from './remove.ts';
import { roleHere } from './role.ts';
import { settingsText } from './settings-file.ts';
import { ownSettings } from './switch-version.ts';
import { replaceOwn } from './take-away.ts';
import { standUnits } from './unit-states.ts';
import { readAllWanted, type WantedPackage } from './wanted-package.ts';
import { openWanted } from './wanted-zip.ts';

/** Hooks take their time. */
const turn = {
  ...{ operation: 'feature packages', operator: 'cmsadm', server: 'this server' },
  ...{ path: '/run/cmsadm/packages', minutes: 5 },
};

export type StandOptions = {
  /** This package alone. */
  readonly only?: string;
  /** Runs hooks; on a real server they are run as processes, else not at all. */
  readonly run?: RunHook;
};

/**
 * Makes this server stand as the files of the feature packages want it.
 * @returns what was done, a line each; nothing where it stood so already
 * @throws CmsadmError packages-failed, or the only one's own error
 */
export async function standAsWanted(host: Host, profile: Profile, options: StandOptions = {}): Promise<string[]> {
  return inTurn(host, turn, async () => {
    const recorded = recordedNames(host.root);
    const all = readAllWanted(host.root, profile, recorded);
    if (!all) return [];
    const concerns = (name: string): boolean => options.only === undefined || options.only === name;
    const lines: string[] = [];
    const failed = new Map<string, CmsadmError>();
    const attempt = async (name: string, work: () => Promise<string[]>): Promise<void> => {
      try {
        lines.push(...(await work()));
        failed.delete(name);
      } catch (thrown) {
        const error = explained(thrown);
        if (!(error instanceof CmsadmError)) throw error;
        failed.set(name, error);
      }
    };
    const wantedNames = new Set([...all.packages.map(({ name }) => name), ...all.unclear.keys()]);
    const goes = recorded.filter((name) => !wantedNames.has(name) && concerns(name));
    for (const name of dependentsFirst(host, goes)) await attempt(name, () => removeHere(host, name, options.run));
    for (const [name, why] of all.unclear) if (concerns(name)) failed.set(name, unclear(why));
    let left = all.packages.filter(({ name }) => concerns(name));
    // What needs another one waits until that has come.
    for (let before = Number.POSITIVE_INFINITY; left.length > 0 && left.length < before; ) {
      before = left.length;
      for (const wanted of left) await attempt(wanted.name, () => standOne(host, profile, wanted, options.run));
      left = left.filter(({ name }) => failed.get(name)?.code === 'needs-unmet');
    }
    const [first] = failed.values();
    if (!first) return lines;
    if (failed.size === 1) throw first;
    throw new CmsadmError('packages-failed', `${failed.size} feature packages do not stand as wanted.`, {
      details: [...failed].map(([name, { message }]) => `${name}: ${message}`),
      remedy: 'See each of them with: cmsadm package list',
    });
  });
}

const unclear = (why: string): CmsadmError =>
  new CmsadmError('wanted-unclear', `${why}: the package stays as it is.`, {
    remedy: 'Correct it, or restore the backup beside it.',
  });

/** One that others need goes after them. */
function dependentsFirst({ root }: Host, names: readonly string[]): string[] {
  const needs = new Map(
    names.map((name) => [
      name,
      readRecord(root, name)?.installed?.manifest.needs.packages.map((one) => one.name) ?? [],
    ]),
  );
  const left = new Set(names);
  const order: string[] = [];
  while (left.size > 0) {
    const next =
      [...left].find((name) => [...left].every((other) => !needs.get(other)?.includes(name))) ?? [...left][0];
    if (next === undefined) break;
    left.delete(next);
    order.push(next);
  }
  return order;
}

async function removeHere(host: Host, name: string, run: RunHook | undefined): Promise<string[]> {
  const record = readRecord(host.root, name);
  return record ? remove(host, name, record, run) : [];
}

/** Whether the units of a package run on this server, by its role; undefined while nobody can say. */
export function runsHere(host: Host, manifest: FeatureManifest, wanted: WantedPackage): boolean | undefined {
  if (!wanted.on) return false;
  const role = roleHere(host.root);
  if (role === 'unsettled') return undefined;
  const runsOn = rolesOf(manifest, wanted.settings);
  return role === 'alone' || runsOn === 'both' || runsOn === role;
}

async function standOne(
  host: Host,
  profile: Profile,
  wanted: WantedPackage,
  run: RunHook | undefined,
): Promise<string[]> {
  const record = readRecord(host.root, wanted.name);
  const { installed } = record ?? {};
  if (record && installed && installed.package === wanted.package && record.coming === null) {
    const swept = sweep(host, wanted.name, { ...record, installed });
    return [...swept.lines, ...(await standSettings(host, swept.record, wanted, run))];
  }
  const found = await openWanted(host, profile, wanted);
  return bring(host, found, wanted, record, runsHere(host, found.manifest, wanted), run);
}

/** Settings as they are wanted, then units on or off. What fails is put back. */
async function standSettings(
  host: Host,
  record: FeatureRecord & { readonly installed: Version },
  wanted: WantedPackage,
  run: RunHook | undefined,
): Promise<string[]> {
  const { root } = host;
  const { installed } = record;
  const { manifest } = installed;
  const settings = settingsText(manifest, wanted.settings);
  const runs = runsHere(host, manifest, wanted);
  if (record.settings === settings && record.comingSettings === null) return standUnits(host, manifest, runs, false);
  const { settings: file } = placesOf(manifest.name);
  const begun = { ...record, comingSettings: settings };
  writeRecord(root, manifest.name, begun);
  const kept = replaceOwn(root, file, settings, ownSettings(record));
  try {
    await hookOf(host, installed, 'settings', [], run);
    const units = await standUnits(host, manifest, runs, true);
    writeRecord(root, manifest.name, { ...record, settings, comingSettings: null });
    return [
      `${manifest.name}: settings changed`,
      ...(kept === undefined ? [] : [`${manifest.name}: an edited file stays as ${kept}`]),
      ...units,
    ];
  } catch (error) {
    if (record.settings !== null) replaceOwn(root, file, record.settings, ownSettings(begun));
    writeRecord(root, manifest.name, { ...record, comingSettings: null });
    await standUnits(host, manifest, runs, true).catch((second: unknown) => {
      // The first failure is the one to tell.
      if (!(second instanceof CmsadmError)) throw second;
    });
    throw error;
  }
}
