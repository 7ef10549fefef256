import * as fs from 'node:fs';
import { setImmediate as breathe } from 'node:timers/promises';
import { type Accounts, readAccounts } from './accounts.ts';
import { baseOf, entryAt, isSystemError, LONGEST, orGone, type Place, placeIn, unreadable, walk } from './data-set.ts';
import { isFolderSign, signOf } from './entry.ts';
import { findAll } from './find.ts';
import { fileIdOf, noteLink } from './hard-links.ts';
import type { Name } from './names.ts';
import {
  agreeAnew,
  agreedAs,
  forgetIfGone,
  isProvisional,
  nameOf,
  namesBelow,
  namesIn,
  provisionalSign,
  setHere,
  stampOf,
  steady,
  type Tree,
  vanish,
} from './tree.ts';

/** What keeps watch on the folders that are looked into. */
export type Watching = {
  /** Called with every folder before its names are read: a watch set there misses nothing. */
  onFolder(path: string, place: Place, stat: fs.Stats): void;
  /** True for a folder that is watched, and is still the same one; it stays watched. */
  isWatched(path: string, ino: number): boolean;
};

/** From so many names on, starting find(1) takes less time than it saves. */
const MANY = 2_000;

/**
 * Looks at the whole data set. Where folders are watched already, find(1) looks for names that are not as before: it
 * does so in half the time, beside us. What is new to the watches is read here, after its watch is set.
 * @param step called now and then with the number of names seen
 * @param many from so many names on find(1) is asked
 * @param program find(1), by its name or path
 * @throws CmsadmError data-set-missing, data-set-unreadable
 */
export async function lookAll(
  tree: Tree,
  watching: Watching,
  step: (seen: number) => void = () => {},
  many = MANY,
  program = 'find',
): Promise<void> {
  tree.tooLong.clear();
  // It would look at what is not included, too, and knows no owners.
  if (tree.names.size >= many && !tree.set.include && !tree.isRenamed) {
    const changed = await findChanged(tree, watching, step, program);
    if (changed) return void (await look(tree, changed, watching, true));
  }
  tree.round += 1;
  let seen = 0;
  await lookBelow(tree, '', { ...watching, isWatched: () => false }, makeBreath(), () => {
    seen += 1;
    if (seen % 500 === 0) step(seen);
  });
  for (const path of notMet(tree)) vanish(tree, path);
}

const notMet = ({ names, round }: Tree): string[] =>
  [...names].flatMap(([path, name]) => (name.here !== undefined && name.round !== round ? [path] : []));

/**
 * The names that are not as they were known, and those that find(1) did not meet. Undefined where it cannot be asked, or
 * did not see everything.
 */
async function findChanged(
  tree: Tree,
  watching: Watching,
  step: (seen: number) => void,
  program: string,
): Promise<Set<string> | undefined> {
  tree.round += 1;
  const base = baseOf(tree.host, tree.set);
  const own = reading(tree, () => fs.lstatSync(base));
  if (!watching.isWatched('', own.ino)) return undefined;
  const changed = new Set<string>();
  let seen = 0;
  const whole = await findAll(program, base.toString(), tree.set, (path, found) => {
    seen += 1;
    if (seen % 500 === 0) step(seen);
    const name = tree.names.get(path);
    if (!name) {
      if (tree.carried(path)) changed.add(flat(path));
      return;
    }
    if (name.found !== found || !isTrusted(tree, name)) {
      if (!isStillAsBefore(tree, base, path)) return void changed.add(flat(path));
      name.found = flat(found);
    }
    name.round = tree.round;
    // Its names are yet to be watched.
    if (isFolderSign(name.here) && !watching.isWatched(path, Number.parseInt(found, 10))) changed.add(flat(path));
  });
  if (!whole) return undefined;
  for (const path of notMet(tree)) changed.add(path);
  return changed;
}

// A part of a text keeps the whole of it in memory.
const flat = (text: string): string => Buffer.from(text, 'latin1').toString('latin1');

/**
 * Looks at some names; at those in folders among them too, and on below folders that are not as before or not watched:
 * of the others events tell.
 * @returns the names that were looked at
 * @throws CmsadmError data-set-missing, data-set-unreadable
 */
export const lookAt = (tree: Tree, paths: Iterable<string>, watching: Watching): Promise<ReadonlySet<string>> =>
  look(tree, paths, watching);

/** @param everywhere true where every name that is not as before is among the paths */
async function look(
  tree: Tree,
  paths: Iterable<string>,
  watching: Watching,
  everywhere = false,
): Promise<ReadonlySet<string>> {
  const base = baseOf(tree.host, tree.set);
  const accounts = readAccounts(tree.host.root);
  const breath = makeBreath();
  const seen = new Set<string>();
  const listed = new Set<string>();
  const isInside = insideOf(base);
  const goes = (path: string): void => {
    for (const one of [...namesBelow(tree, path), path]) {
      vanish(tree, one);
      seen.add(one);
    }
  };
  for (const path of paths) {
    // It was met already, in a folder.
    if (seen.has(path) && (listed.has(path) || !isFolderSign(tree.names.get(path)?.here))) continue;
    const turn = breath();
    if (turn) await turn;
    if (!fits(tree, base, path)) continue;
    const place = placeIn(base, path);
    const stat = reading(tree, () => (isInside(path) ? orGone(() => fs.lstatSync(place)) : undefined));
    seen.add(path);
    if (!stat) goes(path);
    else {
      if (!stat.isDirectory()) for (const below of namesBelow(tree, path)) goes(below);
      noteLink(tree, path, stat);
      if (!isAsBefore(tree, path, stat)) await lookAtOne(tree, path, place, stat, accounts);
      if (!stat.isDirectory() || path === '' || (everywhere && watching.isWatched(path, stat.ino))) continue;
      const gone = new Set<string>();
      const noting = {
        ...watching,
        onFolder: (folder: string, at: Place, own: fs.Stats): void => {
          watching.onFolder(folder, at, own);
          listed.add(folder);
          for (const [known] of namesIn(tree, [folder])) gone.add(known);
        },
      };
      await lookBelow(tree, path, noting, breath, (below) => {
        gone.delete(below);
        seen.add(below);
      });
      for (const below of gone) goes(below);
    }
  }
  return seen;
}

/** Tells of a path whether all above it are folders of the data set: what lies behind a link is not in it. */
function insideOf(base: Buffer): (path: string) => boolean {
  const known = new Map<string, boolean>();
  const isFolder = (folder: string): boolean => {
    const now = known.get(folder) ?? orGone(() => fs.lstatSync(placeIn(base, folder)))?.isDirectory() === true;
    known.set(folder, now);
    return now;
  };
  return (path) => {
    for (let end = path.indexOf('/'); end !== -1; end = path.indexOf('/', end + 1))
      if (!isFolder(path.slice(0, end))) return false;
    return true;
  };
}

/** Lets others have their turn once in a while: then there is something to wait for. */
type Breath = () => Promise<void> | undefined;

function makeBreath(): Breath {
  let count = 0;
  return () => {
    count += 1;
    return count % 500 === 0 ? breathe() : undefined;
  };
}

/** Looks at what is in a folder, and on below folders that are not as before or not watched. */
async function lookBelow(
  tree: Tree,
  folder: string,
  watching: Watching,
  breath: Breath,
  told: (path: string) => void,
): Promise<void> {
  const base = baseOf(tree.host, tree.set);
  const accounts = readAccounts(tree.host.root);
  const wanted = (path: string): boolean => tree.carried(path) && fits(tree, base, path);
  const into = (path: string, stat: fs.Stats): boolean =>
    !(isAsBefore(tree, path, stat) && watching.isWatched(path, stat.ino));
  try {
    for (const { path, place, stat } of walk(base, wanted, watching.onFolder, folder, into)) {
      const turn = breath();
      if (turn) await turn;
      noteLink(tree, path, stat);
      if (!isAsBefore(tree, path, stat)) await lookAtOne(tree, path, place, stat, accounts);
      told(path);
    }
  } catch (cause) {
    throw isSystemError(cause) ? unreadable(tree.set, cause) : cause;
  }
}

/** False for a path that no call takes, which who works below relative folders can make; it is noted. */
function fits({ tooLong }: Tree, base: Buffer, path: string): boolean {
  if (base.length + 1 + path.length <= LONGEST) return true;
  tooLong.add(path);
  return false;
}

function reading<T>(tree: Tree, read: () => T): T {
  try {
    return read();
  } catch (cause) {
    throw isSystemError(cause) ? unreadable(tree.set, cause) : cause;
  }
}

/** True for a name that need not be read as long as its stamp is the one that is known. */
function isTrusted(tree: Tree, { here, there, stamp }: Name): boolean {
  if (here === undefined || stamp === '') return false;
  // Where the other server has it too, it must be read.
  return !isProvisional(here) || (tree.lazy && there === undefined);
}

/** True for a name whose stamp is the one that is known. */
function isAsBefore(tree: Tree, path: string, stat: fs.Stats): boolean {
  const name = tree.names.get(path);
  if (!name || !isTrusted(tree, name) || name.stamp !== stampOf(stat) || tree.isRenamed?.(stat)) return false;
  name.round = tree.round;
  return true;
}

function isStillAsBefore(tree: Tree, base: Buffer, path: string): boolean {
  try {
    const stat = orGone(() => fs.lstatSync(placeIn(base, path)));
    return stat !== undefined && isAsBefore(tree, path, stat);
  } catch (cause) {
    // Told by the look that follows.
    if (isSystemError(cause)) return false;
    throw cause;
  }
}

/** Brings one name up to date, whose stamp is new. */
async function lookAtOne(tree: Tree, path: string, place: Place, stat: fs.Stats, accounts: Accounts): Promise<void> {
  const name = nameOf(tree, path);
  const stamp = stampOf(stat);
  const agreed = agreedAs(tree, path, stamp);
  if (agreed && !tree.isRenamed?.(stat)) return setHere(tree, path, name, agreed.sign, stamp);
  if (tree.lazy && !agreed && name.there === undefined && stat.isFile())
    return setHere(tree, path, name, provisionalSign(stamp), stamp);
  if (stat.isFile() && stat.nlink > 1) {
    name.round = tree.round;
    // With its other names, when all of them are known (linked-files.ts).
    return void tree.links.stale.add(fileIdOf(stat));
  }
  // Before it is read: what is written after that must not hide behind the same stamp.
  const known = steady(stat);
  const entry = await entryAt({ path, place, stat }, accounts);
  // It may have been replaced while it was read; who did so, or an event, tells what it is now.
  const now = orGone(() => fs.lstatSync(place));
  name.round = tree.round;
  if (!now || stampOf(now) !== stamp) return forgetIfGone(tree, path);
  const sign = entry && signOf(entry);
  setHere(tree, path, name, sign, known);
  if (sign === undefined) forgetIfGone(tree, path);
  else agreeAnew(tree, path, sign, stat);
}

/** The folders that are no longer as they were looked at: one call for each folder, and none for its files. */
export function changedFolders({ host, set, names }: Tree): string[] {
  const base = baseOf(host, set);
  const found: string[] = [];
  for (const [path, { here, stamp }] of names) {
    if (!isFolderSign(here)) continue;
    const stat = orGone(() => fs.lstatSync(placeIn(base, path)));
    if (!stat || stampOf(stat) !== stamp) found.push(path);
  }
  return found;
}
