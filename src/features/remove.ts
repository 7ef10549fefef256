import { isThere } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { clearHome } from './clear-home.ts';
import { hookOf, type RunHook } from './hooks.ts';
import { placesOf } from './places.ts';
import { type FeatureRecord, writeRecord } from './record.ts';
import { removeUnits } from './switch-version.ts';
import { standUnits } from './unit-states.ts';

/**
 * Takes a package away from this server: its units, its files, its link; not what somebody edited, and not its data.
 * What dies half-way is taken up by the next call.
 * @returns what was done and what stays, a line each
 * @throws CmsadmError hook-failed: the package stays as it was
 */
export async function remove(host: Host, name: string, record: FeatureRecord, run?: RunHook): Promise<string[]> {
  const { root } = host;
  const { installed } = record;
  const places = placesOf(name);
  if (installed && isThere(root, places.version(installed.folder))) {
    const states = await host.system.units(installed.manifest.units.map((unit) => unit.name));
    await standUnits(host, installed.manifest, false, false);
    try {
      await hookOf(host, installed, 'remove', [], run);
    } catch (error) {
      const ran = Object.values(states).some(({ active }) => active);
      await standUnits(host, installed.manifest, ran, false);
      throw error;
    }
  }
  // From here on it is not installed any more: who wants it again meanwhile has it brought anew.
  const leaving = installed ? [...record.leaving, installed] : record.leaving;
  const going: FeatureRecord = { ...record, installed: null, leaving };
  if (installed) writeRecord(root, name, going);
  const kept = [...(await removeUnits(host, going)), ...clearHome(host, name, going)];
  const hasData = isThere(root, places.data);
  return [
    `${name}: removed`,
    ...kept.map((path) => `${name}: not ours, stays: ${path}`),
    ...(hasData ? [`${name}: its data stay in ${places.data}`] : []),
  ];
}
