import { CmsadmError } from '../errors.ts';
import { hasPrograms } from '../host/has-programs.ts';
import type { Host } from '../host/system.ts';
import type { FeatureManifest } from '../packages/feature-manifest.ts';

/** Milliseconds after which a unit that was started must still run. */
const SETTLE = 1_000;

/**
 * Has the units of a package run, or not run, for now and for the next boot.
 * @param runs undefined: nobody can say now, they stay as they are
 * @param isNew what they run is another than before: they are started anew
 * @returns a line where something was done
 * @throws CmsadmError service-failed, unit-not-running
 */
export async function standUnits(
  host: Host,
  { name, units }: FeatureManifest,
  runs: boolean | undefined,
  isNew: boolean,
): Promise<string[]> {
  if (units.length === 0 || runs === undefined) return [];
  const { system } = host;
  const all = units.map((unit) => unit.name);
  const started = units.filter(({ starts }) => starts).map((unit) => unit.name);
  const states = await system.units(all);
  if (!runs) {
    const active = all.filter((unit) => states[unit]?.active || states[unit]?.changing);
    const enabled = started.filter((unit) => states[unit]?.enabled);
    await system.control('stop', active);
    await system.control('disable', enabled);
    return active.length + enabled.length === 0 ? [] : [`${name}: off here`];
  }
  const asleep = started.filter((unit) => !states[unit]?.enabled);
  const down = started.filter((unit) => isNew || !states[unit]?.active);
  await system.control('enable', asleep);
  await system.control('restart', down);
  if (down.length > 0) await refuseUnlessRunning(host, down);
  return asleep.length + down.length === 0 ? [] : [`${name}: on here`];
}

async function refuseUnlessRunning(host: Host, units: readonly string[]): Promise<void> {
  // A program that ends at once was started well, as systemd sees it.
  if (hasPrograms(host)) await new Promise((resolve) => setTimeout(resolve, SETTLE));
  const states = await host.system.units(units);
  const dead = units.filter((unit) => !states[unit]?.active);
  if (dead.length === 0) return;
  throw new CmsadmError('unit-not-running', `Started, but not running: ${dead.join(', ')}.`, {
    remedy: `See \`journalctl -u ${dead[0]}\` there.`,
  });
}
