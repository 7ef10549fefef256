// How a pair stands, and which of the known ways of standing that is.
import { paths } from '../../src/pair/state.ts';
import { type Name, names, type World } from './world.ts';

/** path → mode, owner, attributes, content; and unit → running, enabled. */
type Standing = ReadonlyMap<string, string>;

/** What the transaction keeps for itself and is not part of a server's configuration. */
const ownBooks = ['/run', '/var/log', paths.journal, paths.epoch, paths.alarms, `${paths.alarms}.new`];
const isOwnBook = (path: string): boolean =>
  path === paths.state || ownBooks.some((book) => path === book || path.startsWith(`${book}/`));

// Keys are made anew by every run; whether they fit each other, a login tells.
const withoutKeys = (path: string, text: string): string =>
  path === paths.pairKey
    ? text.replace(/-----BEGIN[\s\S]*/, '<private key>')
    : text.replaceAll(/(ssh-ed25519) \S+ (cmsadm)/g, '$1 <key> $2');

/** It runs at boot and ends: whether it is still shown as active says nothing. */
const oneShot = 'cmsadm-recover.service';

/** How a server stands. */
export function standingOf(world: World, name: Name): Standing {
  const { disk, units } = world.servers[name];
  const files = [...disk.standing()].filter(([path]) => !isOwnBook(path));
  return new Map([
    ...files.map(([path, text]): [string, string] => [path, withoutKeys(path, text)]),
    ...[...units]
      .map(([unit, state]) => [unit, unit === oneShot ? { ...state, active: false } : state] as const)
      .filter(([, { active, enabled }]) => active || enabled)
      .map(([unit, { active, enabled }]): [string, string] => [`unit ${unit}`, `${active} ${enabled}`]),
  ]);
}

export type Known = { readonly word: string; readonly standing: Readonly<Record<Name, Standing>> };

export const standingOfBoth = (world: World): Readonly<Record<Name, Standing>> => ({
  cms1: standingOf(world, 'cms1'),
  cms2: standingOf(world, 'cms2'),
});

/** Names under which two ways of standing differ. */
export const differences = (one: Standing, other: Standing): string[] =>
  [...new Set([...one.keys(), ...other.keys()])].filter((key) => one.get(key) !== other.get(key)).sort();

/**
 * Which known standing each server has.
 * @returns one word where both have the same; two, of the link alone, where each is linked or not by itself;
 *   undefined for anything else: mixed
 */
export function outcomeOf(world: World, known: readonly Known[], eachAlone: readonly string[]): string | undefined {
  const both = known.find(({ standing }) =>
    names.every((name) => differences(standing[name], standingOf(world, name)).length === 0),
  );
  if (both) return both.word;
  const words = names.map((name) => {
    const standing = standingOf(world, name);
    return known.find((one) => differences(one.standing[name], standing).length === 0)?.word;
  });
  const [first, second] = words;
  if (first === undefined || second === undefined) return undefined;
  return eachAlone.includes(first) && eachAlone.includes(second) ? 'linked on one server' : undefined;
}

/** What is left over that should not be, in words. */
export function leftOvers(world: World): string[] {
  return names.flatMap((name) => {
    const { disk, timers } = world.servers[name];
    const paths_ = [...disk.standing().keys()];
    return [
      ...paths_.filter((path) => /\.staged$|\.new$|\.decision\.\d+$|^\/run\/cmsadm\/lock/.test(path)),
      ...[...timers.keys()].map((unit) => `timer ${unit}`),
    ].map((what) => `${name}: ${what}`);
  });
}
