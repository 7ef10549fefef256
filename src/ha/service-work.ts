import { type FileChange, noServices, type ServiceWork } from '../change/change.ts';
import type { Facts } from '../pair/facts.ts';
import { forFamily, type Profile } from '../profile/schema.ts';

type ProfileService = Profile['services'][string];

/** A service of the profile that a changed file feeds, and what is done to it. */
export type TouchedService = {
  readonly label: string;
  readonly unit: string;
  readonly how: 'restart' | 'reload';
  readonly interruption: number;
  readonly because: readonly string[];
};

/**
 * The services that read the changed files, and those that stand on a restarted one; only units that exist there.
 * Order is the profile's.
 */
export function touchedServices(
  profile: Profile,
  facts: Pick<Facts, 'files' | 'family' | 'units'>,
  files: readonly FileChange[],
): TouchedService[] {
  const rows = new Map(facts.files.map((file) => [file.row.path, file.row]));
  const because = new Map<string, string[]>();
  const touch = (name: string, why: string): void => {
    const service: ProfileService | undefined = profile.services[name];
    if (!service) return;
    because.set(name, [...(because.get(name) ?? []), why]);
    if (service.change === 'restart') for (const carried of service.carries) touch(carried, service.label);
  };
  for (const file of files) for (const name of rows.get(file.path)?.services ?? []) touch(name, file.path);
  return Object.entries(profile.services).flatMap(([name, service]) => {
    const why = because.get(name);
    const unit = forFamily(service.unit, facts.family);
    const state = facts.units[unit];
    if (!why || !state?.exists) return [];
    const bySocket = facts.units[unit.replace(/\.service$/, '.socket')]?.active === true;
    // Nothing has to read its file anew.
    if (service.change === 'reload' && !state.active && !bySocket) return [];
    return [
      {
        label: service.label,
        unit,
        // A reload would have sshd bind the port itself, which its socket holds, and die of it.
        how: bySocket ? 'restart' : service.change,
        interruption: service.interruption,
        because: [...new Set(why)],
      },
    ];
  });
}

/** The work of one server: reloads and restarts that its changed files ask for, and our own units. */
export function serviceWork(
  profile: Profile,
  facts: Facts,
  files: readonly FileChange[],
  own: Partial<Pick<ServiceWork, 'enable' | 'start' | 'stop'>> = {},
): ServiceWork {
  const touched = touchedServices(profile, facts, files);
  const units = (how: 'restart' | 'reload'): string[] =>
    touched.filter((service) => service.how === how).map(({ unit }) => unit);
  const seconds = Object.values(profile.services)
    .filter((service) => touched.some(({ unit }) => unit === forFamily(service.unit, facts.family)))
    .map((service) => service.seconds);
  return {
    ...noServices,
    ...own,
    reload: units('reload'),
    restart: units('restart'),
    affecting: touched.filter(({ interruption }) => interruption > 0).map(({ unit }) => unit),
    seconds: Math.max(20, ...seconds),
  };
}
