import * as fs from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { CmsadmError } from '../errors.ts';
import { pathOf } from './scan.ts';
import { beforeName, folderOf, inFolder, type Stage, treeOf } from './stages.ts';

/** One file or new folder that goes from the stage to its place; its name is the member's. */
type Move = {
  /** Mount point of its stage. */
  readonly at: string;
  readonly name: string;
  /** What stands there now is kept: a file gets a second name, an empty folder another one. */
  readonly was: 'nothing' | 'file' | 'folder';
};

/** A restore over a root, with all that its way forth or back needs. */
export type Placing = {
  /** Path of this machine. */
  readonly over: string;
  /** What is replaced is kept beside its place under this tag; null keeps it in the stage until all is there. */
  readonly tag: string | null;
  readonly stages: readonly string[];
  readonly moves: readonly Move[];
};

const statOf = (path: Buffer): fs.Stats | undefined => fs.lstatSync(path, { throwIfNoEntry: false });

/** Where the old file goes when its place is taken. */
const keptOf = ({ over, tag }: Placing, { at, name }: Move, index: number): Buffer =>
  tag === null ? inFolder(join(folderOf(over, at), beforeName), String(index)) : inFolder(over, `${name}.${tag}`);

/** Names under which what was replaced stays. */
export const keptNames = ({ over, tag, moves }: Placing): string[] =>
  moves.flatMap(({ was, name }) => (was === 'nothing' || tag === null ? [] : [`${over}/${shown(name)}.${tag}`]));

const shown = (name: string): string => Buffer.from(name.slice(2), 'latin1').toString();

/** What has to be done at one stage. */
export type Moves = {
  readonly moves: readonly Move[];
  /** Folders that are there already, by their members' names, and as they are called without links on the way. */
  readonly folders: readonly { readonly name: string; readonly real: string }[];
};

/**
 * What has to move so that everything staged is in its place: a folder that is there already stays, with what else is in
 * it; one that is new moves as a whole.
 * @param points where something is mounted below it: what is no folder there can't be replaced
 * @throws CmsadmError place-taken, place-elsewhere
 */
export function planMoves(over: string, { at }: Stage, points: readonly string[]): Moves {
  const tree = treeOf(over, at);
  const root = fs.realpathSync.native(over, 'latin1');
  const device = fs.statSync(folderOf(over, at)).dev;
  const moves: Move[] = [];
  const folders: { name: string; real: string }[] = [];
  const look = (name: string): void => {
    const [staged, to] = [inFolder(tree, name), inFolder(over, name)];
    const there = statOf(to);
    const isFolder = statOf(staged)?.isDirectory() === true;
    if (!there) moves.push({ at, name, was: 'nothing' });
    // A folder by way of a link is the folder: /bin may lead to /usr/bin.
    else if (isFolder && fs.statSync(to, { throwIfNoEntry: false })?.isDirectory()) enter(name, staged, to);
    else if (points.includes(name)) throw taken(name, 'has something mounted on it.');
    else if (!there.isDirectory()) moves.push({ at, name, was: 'file' });
    else if (fs.readdirSync(to).length === 0) moves.push({ at, name, was: 'folder' });
    else throw taken(name, 'is a folder that holds something, and in the backup it is none.');
  };
  const enter = (name: string, staged: Buffer, to: Buffer): void => {
    const real = fs.realpathSync.native(to, 'latin1');
    if (real !== root && !real.startsWith(root === '/' ? root : `${root}/`))
      throw taken(name, 'is a link that leads out of this root.');
    folders.push({ name, real: real === root ? '.' : `./${real.slice(root === '/' ? 1 : root.length + 1)}` });
    // What is mounted there has a stage of its own.
    if (name !== at && points.includes(name)) return;
    if (fs.statSync(to).dev !== device) throw elsewhere(name);
    for (const entry of fs.readdirSync(staged, 'latin1')) look(`${name}/${entry}`);
  };
  if (fs.existsSync(inFolder(tree, at))) enter(at, inFolder(tree, at), inFolder(over, at));
  return { moves, folders };
}

const taken = (name: string, why: string): CmsadmError =>
  new CmsadmError('place-taken', `${pathOf(name)} ${why}`, {
    remedy: 'Move it away, or restore into a folder and compare.',
  });

const elsewhere = (name: string): CmsadmError =>
  new CmsadmError('place-elsewhere', `${pathOf(name)} lies, by way of a link or a subvolume, on another file system.`, {
    remedy: 'Restore what belongs there by itself, with --files, over the root of that file system; or into a folder.',
  });

/** So many names are moved before Ctrl-C is heard. */
const atOnce = 50;

/** Moves everything; each name changes at once from what it was to what was staged. */
export async function placeAll(placing: Placing, refuseIfStopped: () => void): Promise<void> {
  const { over, moves } = placing;
  for (const [index, move] of moves.entries()) {
    if (index % atOnce === 0) await nextTurn();
    refuseIfStopped();
    const [staged, to] = [inFolder(treeOf(over, move.at), move.name), inFolder(over, move.name)];
    if (move.was !== 'nothing') {
      const kept = keptOf(placing, move, index);
      // A folder can't take the place of a file (rename(2)); nor has a folder second names.
      if (move.was === 'folder' || statOf(staged)?.isDirectory()) fs.renameSync(to, kept);
      else fs.linkSync(to, kept);
    }
    fs.renameSync(staged, to);
  }
}

/** Undoes what was moved, newest first, wherever it ended; may be repeated. @returns how many were put back */
export function putBackMoves(placing: Placing): number {
  const { over, moves } = placing;
  let count = 0;
  for (const [index, move] of [...moves.entries()].reverse()) {
    const [stagedPath, to] = [inFolder(treeOf(over, move.at), move.name), inFolder(over, move.name)];
    const wasMoved = !statOf(stagedPath) && statOf(to) !== undefined;
    if (move.was === 'nothing') {
      if (!wasMoved) continue;
      fs.renameSync(to, stagedPath);
    } else {
      const kept = keptOf(placing, move, index);
      if (!statOf(kept)) continue;
      if (wasMoved && (move.was === 'folder' || statOf(to)?.isDirectory())) fs.renameSync(to, stagedPath);
      // Two names of one file: a rename would leave both (rename(2)).
      if (!wasMoved && statOf(to)) fs.unlinkSync(kept);
      else fs.renameSync(kept, to);
    }
    if (wasMoved) count += 1;
  }
  return count;
}
