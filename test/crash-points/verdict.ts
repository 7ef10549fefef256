// How a pair stands, and which of the known ways of standing that is.
import { ownFolder } from '../../src/pair/administered.ts';
import { paths } from '../../src/pair/state.ts';
import { type Name, names, type World } from './world.ts';

/** path → mode, owner, attributes, content; unit → running, enabled; and what the product's programs keep. */
type Standing = ReadonlyMap<string, string>;

/** What the transaction keeps for itself and is not part of a server's configuration. */
const ownBooks = ['/run', '/var/log', paths.journal, paths.epoch, paths.alarms, `${paths.alarms}.new`];
// Empty folders of ours tell nothing.
const ownFolders = [paths.state, ownFolder, `${ownFolder}/packages`, `${ownFolder}/acd`];
const isOwnBook = (path: string): boolean =>
  ownFolders.includes(path) || ownBooks.some((book) => path === book || path.startsWith(`${book}/`));

// Keys are made anew by every run; whether they fit each other, a login tells.
const withoutKeys = (path: string, text: string): string =>
  path === paths.pairKey
    ? text.replace(/-----BEGIN[\s\S]*/, '<private key>')
    : text.replaceAll(/(ssh-ed25519) \S+ (cmsadm)/g, '$1 <key> $2');

// A version that is brought again beside remains of itself gets a number behind its folder's name.
const withoutNumber = (text: string): string => text.replaceAll(/(-[0-9a-f]{12})\.\d+/g, '$1');

// What a removal says of the other server it leaves out where that could not be asked; and when it was.
const withoutAsking = (path: string, text: string): string =>
  path.includes('/acd/')
    ? text
        .replaceAll(/at: "?20[\dTZ:.-]+"?/g, 'at: <time>')
        .replaceAll(/ {2}cms2\.example\.com:(?:\\n|\n)(?: {4}\w+: [^\\\n]*(?:\\n|\n))+/g, '')
    : text;

/** It runs at boot and ends: whether it is still shown as active says nothing. */
const oneShot = 'cmsadm-recover.service';

/** How a server stands. */
export function standingOf(world: World, name: Name): Standing {
  const { disk, units, product } = world.servers[name];
  const files = [...disk.standing()].filter(([path]) => !isOwnBook(path));
  return new Map([
    ...files.map(([path, text]): [string, string] => [
      withoutNumber(path),
      withoutAsking(path, withoutNumber(withoutKeys(path, text))),
    ]),
    ...[...units]
      .map(([unit, state]) => [unit, unit === oneShot ? { ...state, active: false } : state] as const)
      .filter(([, { active, enabled }]) => active || enabled)
      .map(([unit, { active, enabled }]): [string, string] => [`unit ${unit}`, `${active} ${enabled}`]),
    ...[...product.grants].map(([user, type]): [string, string] => [`grant ${user}`, type]),
    ...[...product.collection].map(([acd, state]): [string, string] => [`collection of ACD ${acd}`, state]),
  ]);
}

export type Known = {
  readonly word: string;
  readonly standing: Readonly<Record<Name, Standing>>;
  /** The paths that have to be alike; all without. */
  readonly counts?: (path: string) => boolean;
};

export const standingOfBoth = (world: World): Readonly<Record<Name, Standing>> => ({
  cms1: standingOf(world, 'cms1'),
  cms2: standingOf(world, 'cms2'),
});

/** Names under which two ways of standing differ. */
const differences = (one: Standing, other: Standing): string[] =>
  [...new Set([...one.keys(), ...other.keys()])].filter((key) => one.get(key) !== other.get(key)).sort();

/** What keeps a standing from being a known one. */
export const differencesFrom = ({ standing, counts = () => true }: Known, name: Name, found: Standing): string[] =>
  differences(standing[name], found).filter(counts);

/** A change that was confirmed and put back by a second one: each keeps its backups, in the folders that they need. */
export const putBack = (before: Known): Known => ({
  ...before,
  word: 'put back',
  counts: (path) => !/^\/cms\/admin\/packages($|\/)(?!.*\.(?:yaml|zip)$)/.test(path),
});

/**
 * Which known standing each server has.
 * @returns one word where both have the same; two, of the link alone, where each is linked or not by itself;
 *   undefined for anything else: mixed
 */
export function outcomeOf(world: World, known: readonly Known[], eachAlone: readonly string[]): string | undefined {
  const both = known.find((one) =>
    names.every((name) => differencesFrom(one, name, standingOf(world, name)).length === 0),
  );
  if (both) return both.word;
  const words = names.map((name) => {
    const standing = standingOf(world, name);
    return known.find((one) => differencesFrom(one, name, standing).length === 0)?.word;
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
      ...paths_.filter((path) =>
        /\.staged$|\.new$|\.restoring$|\.decision\.\d+$|^\/run\/cmsadm\/(lock|packages|database|passwords)/.test(path),
      ),
      ...[...timers.keys()].map((unit) => `timer ${unit}`),
    ].map((what) => `${name}: ${what}`);
  });
}
