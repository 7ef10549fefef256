import type { Host } from '../host/system.ts';

/** Disables or stops units while their files are still there: systemd does neither to what it can't read. */
export async function withdraw(host: Host, verb: 'disable' | 'stop', units: readonly string[]): Promise<void> {
  const states = await host.system.units(units);
  await host.system.control(
    verb,
    units.filter((unit) => states[unit]?.exists),
  );
}
