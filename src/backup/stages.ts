import * as fs from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { CmsadmError } from '../errors.ts';
import { keepingTime } from './folders.ts';
import type { ManifestLine } from './manifest.ts';
import { isWithin, type Mount } from './mounts.ts';
import { pathOf } from './scan.ts';

/** What is restored over a root lies here first, on each file system that it goes to. */
export const stageName = '.cmsadm-restoring';
/** In it: what was there before, until all is in its place. */
export const beforeName = 'before';

/** One file system that a restore over a root writes to. */
export type Stage = {
  /** Where it is mounted, as a member: `.` for that of the root itself, or `./boot`. */
  readonly at: string;
  /** Mount points below it: what lies in them goes to other stages. */
  readonly except: readonly string[];
};

/** Paths of this machine; names of members are latin1 text, one character for each byte. */
export const folderOf = (over: string, at: string): string =>
  join(over, Buffer.from(at, 'latin1').toString(), stageName);
export const treeOf = (over: string, at: string): string => join(folderOf(over, at), 'tree');

/** The bytes of a path: a folder of this machine, and a name in it of which nobody knows the encoding. */
export const inFolder = (folder: string, name: string): Buffer =>
  Buffer.concat([Buffer.from(`${folder}/`), Buffer.from(name, 'latin1')]);

/** tar ends the names of folders with a slash. */
export const bare = (name: string): string => (name.length > 1 ? name.replace(/\/+$/, '') : name);
const isBelow = (name: string, at: string): boolean => at === '.' || bare(name).startsWith(`${at}/`);

/** Where something is mounted below `over`, as members. */
export function pointsBelow(over: string, mounts: readonly Mount[]): string[] {
  const root = Buffer.from(over).toString('latin1');
  const points = mounts
    .filter(({ point }) => point !== root && isWithin(point, root))
    .map(({ point }) => `./${relative(root, point)}`);
  return [...new Set(points)].sort();
}

/**
 * The file systems below `over` that members of a backup go to, the root's own first, each before those below it.
 * @param over without links in it
 */
export function stagesOf(over: string, lines: readonly ManifestLine[], mounts: readonly Mount[]): Stage[] {
  const concerned = pointsBelow(over, mounts).filter((at) => lines.some(({ name }) => isBelow(name, at)));
  const all = ['.', ...concerned];
  return all.map((at) => ({ at, except: concerned.filter((other) => other !== at && isBelow(other, at)) }));
}

/** The stage that a member goes to; a mount point itself belongs to the file system that it lies on. */
export const stageOf = (name: string, stages: readonly Stage[]): Stage | undefined =>
  stages.findLast(({ at }) => isBelow(name, at));

/** The members of one stage. */
export const membersOf = (stage: Stage, lines: readonly ManifestLine[]): ManifestLine[] =>
  lines.filter(({ name }) => isBelow(name, stage.at) && !stage.except.some((at) => isBelow(name, at)));

/**
 * Names of one file can't lie on two file systems.
 * @throws CmsadmError place-divided
 */
export function refuseDivided(lines: readonly ManifestLine[], stages: readonly Stage[]): void {
  if (stages.length === 1) return;
  const found = new Map<string, Stage | undefined>();
  for (const { name, kind, sharedWith } of lines) {
    if (sharedWith === undefined) continue;
    const own = stageOf(name, stages);
    const first = kind === 'hard link' ? stageOf(sharedWith, stages) : (found.get(sharedWith) ?? own);
    found.set(sharedWith, first);
    if (own === first) continue;
    throw new CmsadmError(
      'place-divided',
      `${pathOf(name)} is a further name of a file that would lie on another file system.`,
      { remedy: 'Unmount what is mounted there, or restore into a folder and copy.' },
    );
  }
}

/** About what members take on a disk: whole blocks, and what names and inodes need. */
export const roomFor = (members: readonly ManifestLine[]): number =>
  members.reduce((sum, { kind, size }) => sum + 512 + Math.ceil((kind === 'folder' ? 1 : size) / 4096) * 4096, 0);

/** The private folder of a stage. @throws CmsadmError place-unwritable */
export function makeStage(over: string, { at }: Stage): void {
  const folder = folderOf(over, at);
  try {
    keepingTime(dirname(folder), () => {
      fs.rmSync(folder, { recursive: true, force: true });
      fs.mkdirSync(folder, { mode: 0o700 });
    });
    for (const name of ['tree', beforeName]) fs.mkdirSync(join(folder, name), { mode: 0o700 });
  } catch (cause) {
    if (!(cause instanceof Error && 'code' in cause)) throw cause;
    throw new CmsadmError('place-unwritable', `Nothing can be written to ${dirname(folder)} (${cause.code}).`, {
      remedy: 'Mount it for writing, or unmount what is not to be restored.',
      cause,
    });
  }
}

/** Takes a stage away; the folder that it stood in keeps its time. */
export const removeStage = (folder: string): void =>
  keepingTime(dirname(folder), () => fs.rmSync(folder, { recursive: true, force: true }));
