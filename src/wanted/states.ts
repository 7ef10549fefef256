import { CmsadmError, explained } from '../errors.ts';
import type { Host } from '../host/system.ts';
import type { Profile } from '../profile/schema.ts';

/**
 * What acts on each server by itself: files of the administration folder say what is wanted, each server makes itself
 * stand so. Both functions may be called at any time, on either server, and repeated.
 */
type WantedState = {
  readonly name: string;
  /** @returns what was done, a line each; nothing where the server stood so already */
  readonly apply: (host: Host, profile: Profile) => Promise<readonly string[]>;
  /** @returns a line for each thing that still differs */
  readonly report: (host: Host, profile: Profile) => Promise<readonly string[]>;
};

/** Loaded when they are used. */
const load: readonly (() => Promise<WantedState>)[] = [
  async () => (await import('../passwords/apply.ts')).passwordAging,
  async () => (await import('../database/apply.ts')).databaseAccess,
  async () => (await import('../features/feature-packages.ts')).featurePackages,
  async () => (await import('../acd/apply.ts')).acdsWanted,
];

/** What one kind of wanted state came to: lines, or why it failed. */
export type Told = { readonly name: string; readonly lines: readonly string[]; readonly failed?: string };

/** Asks every kind, one after the other: what one of them throws keeps none of the others. */
export async function eachWanted(what: 'apply' | 'report', host: Host, profile: Profile): Promise<Told[]> {
  const told: Told[] = [];
  for (const one of load) {
    const state = await one();
    try {
      told.push({ name: state.name, lines: await state[what](host, profile) });
    } catch (thrown) {
      const error = explained(thrown);
      // A fault of the program is told as one, with where it came from.
      const failed =
        error instanceof CmsadmError
          ? error.message
          : error instanceof Error
            ? (error.stack ?? error.message)
            : String(error);
      told.push({ name: state.name, lines: [], failed });
    }
  }
  return told;
}
