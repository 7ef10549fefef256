import * as fs from 'node:fs';
import { at, readText } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { removeDurably, writeState } from '../host/writing.ts';
import { paths } from '../pair/state.ts';
import type { DataSet } from './entry.ts';
import type { Tree } from './tree.ts';

/** What a guard looks at: the names on both sides, and whether the folder is still the one that was synced before. */
export type Standing = {
  /** Names on the other server. */
  readonly there: number;
  /** Names here. */
  readonly here: number;
  /** Names there that are not here. */
  readonly vanished: number;
  /** Of these, names whose successors are across already: what failed was only their removal. */
  readonly explained: number;
  /** Names here that are not there: a renamed folder is no loss. */
  readonly came: number;
  /** Names that were removed there within the last minute: a folder that is emptied name by name vanishes as well. */
  readonly lately: number;
  /** False if the data set's folder is another one than before: not mounted, or another disk. */
  readonly sameFolder: boolean;
  /** Why it was held the last time; it stays so until it is released or everything is back. */
  readonly heldBefore: string | undefined;
};

/** Below this many names a share says nothing: half of four files is an ordinary day. */
const FEW = 20;

/**
 * What a person lets go of a data set: all that is as it is now; or losses, which a restore makes. A restore makes no
 * other disk, and knows nothing of what was held before it.
 */
export type LetGo = 'all' | 'losses' | 'nothing';

/**
 * Why nothing of a data set may be sent now; undefined where all is well. A set that lost its disk must not empty the
 * other server.
 */
export function whyHeld(
  { deletions, path }: DataSet,
  { there, here, vanished, explained, came, lately, sameFolder, heldBefore }: Standing,
  letGo: LetGo = 'nothing',
): string | undefined {
  if (there === 0 || letGo === 'all') return undefined;
  if (!sameFolder) return `${path} is another folder than before: is a disk not mounted, or another one?`;
  if (here === 0) return `it is empty here and holds ${there} names on the other server. Is a disk not mounted?`;
  // Names that came since make the rest no safer.
  if (heldBefore !== undefined && vanished > 0) return heldBefore;
  if (letGo === 'losses') return undefined;
  const lost = vanished - explained - came;
  if (lost <= 0) return undefined;
  const [gone, all] = [lost + lately, there + lately];
  const share = Math.floor((gone * 100) / all);
  if (gone >= FEW && share > deletions.percent)
    return `${gone} of ${all} names vanished within a minute (${share} %, more than ${deletions.percent} %).`;
  if (gone > deletions.files) return `${gone} names vanished within a minute, more than ${deletions.files}.`;
  return undefined;
}

/** Names that are on one side only. */
type OneSided = Pick<Standing, 'vanished' | 'came'>;

/**
 * @param known what is on one side only, where that is known; else all names are counted
 * @param busy names on their way for long, or refused: they are not there yet, and make up for nothing that went
 */
export function standingOfSet(tree: Tree, known?: OneSided, busy: ReadonlySet<string> = new Set()): Standing {
  const { vanished, came } = known ?? oneSided(tree, busy);
  // A name that is on neither side is forgotten.
  const there = tree.names.size - came - underWay(tree, busy);
  const here = tree.names.size - vanished;
  const before = readText(tree.host.root, fileOf(tree.set))?.trim();
  const sameFolder = isSameFolder(before, identityOf(tree.host, tree.set));
  const { lately, explained } = removedLately(tree);
  return {
    there,
    here,
    vanished,
    explained,
    came,
    lately,
    sameFolder,
    heldBefore: readText(tree.host.root, heldFile(tree.set)),
  };
}

function oneSided({ names }: Tree, busy: ReadonlySet<string>): OneSided {
  let [vanished, came] = [0, 0];
  for (const [path, { here, there }] of names) {
    if (here === undefined && there !== undefined) vanished += 1;
    if (here !== undefined && there === undefined && !busy.has(path)) came += 1;
  }
  return { vanished, came };
}

function underWay({ names }: Tree, busy: ReadonlySet<string>): number {
  let count = 0;
  for (const path of busy) {
    const name = names.get(path);
    if (name && name.there === undefined) count += 1;
  }
  return count;
}

/** Milliseconds for which removals count together. */
const WINDOW = 60_000;

/** Milliseconds within which something that came makes up for something that went: how many messages they take is chance. */
const TOGETHER = 5_000;

/**
 * Remembers what is being removed on the other server, and what comes there. A name that came at the same time makes up for
 * one that went; what is tried again counts once.
 */
export function noteSent({ removed, arrived }: Tree, gone: readonly string[], came: readonly string[]): void {
  const now = performance.now();
  for (const [path, at] of arrived) if (at < now - TOGETHER) arrived.delete(path);
  for (const path of came) if (!arrived.has(path)) arrived.set(path, now);
  for (const path of gone) if (!removed.has(path)) removed.set(path, { at: now, isLoss: true });
  const losses = [...removed.values()].filter(({ at, isLoss }) => isLoss && at >= now - TOGETHER);
  for (const [index, path] of [...arrived.keys()].slice(0, losses.length).entries()) {
    const loss = losses[index];
    if (loss) loss.isLoss = false;
    arrived.delete(path);
  }
}

/** What the other server refused, and has not yet: however long that stands, it makes up for nothing that goes. */
export function refusedOf({ names, refused }: Tree): ReadonlySet<string> {
  for (const path of refused) {
    const name = names.get(path);
    if (name?.here === undefined || name.there !== undefined) refused.delete(path);
  }
  return refused;
}

/** A person let them go: they do not count any more. */
export function forgetRemoved({ removed, arrived }: Tree): void {
  removed.clear();
  arrived.clear();
}

/** What is gone there counts as lost lately; what is still there was explained, or is counted among what vanished. */
function removedLately({ removed, names }: Tree): Pick<Standing, 'lately' | 'explained'> {
  const oldest = performance.now() - WINDOW;
  let [lately, explained] = [0, 0];
  for (const [path, { at, isLoss }] of removed) {
    const name = names.get(path);
    const isGone = name?.there === undefined;
    if (at < oldest || (isGone && !isLoss)) removed.delete(path);
    else if (isGone) lately += 1;
    else if (!isLoss && name.here === undefined) explained += 1;
  }
  return { lately, explained };
}

function isSameFolder(before: string | undefined, now: string | undefined): boolean {
  if (before === undefined || before === now) return true;
  const [ino, boot, device, birth = UNKNOWN] = before.split(' ');
  const [inoNow, bootNow, deviceNow, birthNow = UNKNOWN] = now?.split(' ') ?? [];
  // The root of every file system of a kind has the same number; when it was made tells one from another.
  if (ino !== inoNow || (birth !== birthNow && birth !== UNKNOWN && birthNow !== UNKNOWN)) return false;
  // Device numbers may change from boot to boot.
  return boot !== bootNow || device === deviceNow;
}

/** Whether a data set's folder is the one that was synced before. */
export function folderOfSet({ host, set }: Tree): 'as before' | 'another' | 'missing' {
  const now = identityOf(host, set);
  if (now === undefined) return 'missing';
  return isSameFolder(readText(host.root, fileOf(set))?.trim(), now) ? 'as before' : 'another';
}

/** True until the folder was remembered in this boot: what was written right before it may be lost with the power. */
export function isFirstOfBoot({ host, set }: Tree): boolean {
  const before = readText(host.root, fileOf(set))?.trim();
  return before !== undefined && before.split(' ')[1] !== host.system.bootId();
}

/** Remembers the folder as it is now as the right one. */
export function rememberFolder({ host, set }: Tree): void {
  const now = identityOf(host, set);
  if (now !== undefined && readText(host.root, fileOf(set))?.trim() !== now)
    writeState(host.root, fileOf(set), `${now}\n`);
}

/** Remembers that a set is held, over restarts; undefined: it is no longer. */
export function rememberHeld({ host, set }: Tree, why: string | undefined): void {
  const before = readText(host.root, heldFile(set));
  if (why === before) return;
  if (why === undefined) removeDurably(host.root, heldFile(set));
  else writeState(host.root, heldFile(set), why);
}

const heldFile = (set: DataSet): string => `${paths.sync}/${set.name}.held`;
const fileOf = (set: DataSet): string => `${paths.sync}/${set.name}.folder`;

/** Of a folder on a file system that does not note when it was made. */
const UNKNOWN = '0';

function identityOf({ root, system }: Host, set: DataSet): string | undefined {
  const stat = fs.lstatSync(at(root, set.path), { throwIfNoEntry: false, bigint: true });
  if (!stat) return undefined;
  // Where the kernel can't be asked for it, the runtime tells the last change instead.
  const birth = stat.birthtimeNs === stat.ctimeNs ? UNKNOWN : stat.birthtimeNs;
  return `${stat.ino} ${system.bootId()} ${stat.dev} ${birth}`;
}
