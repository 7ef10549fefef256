import * as fs from 'node:fs';
import { dirname, join } from 'node:path';
import { CmsadmError } from '../errors.ts';
import { at, codeOf, type Root } from '../host/root.ts';
import type { BackupFacts } from './facts.ts';
import { isBackupHead } from './formats.ts';
import { isWithin, mountOf, mountsNow } from './mounts.ts';
import { readFactsOf, rewind } from './read-archive.ts';

/** Where a backup goes: a folder, or a device (a tape, or a file that stands for one) that is written in blocks. */
export type Target = {
  readonly kind: 'folder' | 'device';
  /** Path of the server, without links in it. */
  readonly path: string;
  /** True for a drive that has to be rewound. */
  readonly isTape: boolean;
};

const refused = (code: string, path: string, why: string, remedy: string): CmsadmError =>
  new CmsadmError(code, `${path} ${why}`, { file: path, remedy });

/** A path that was typed, as it really is. @throws CmsadmError path-unusable */
function realPath(
  root: Root,
  typed: string,
  remedy = 'Mount the disk or make the folder, then type it again.',
): string {
  const path = typed.trim();
  if (!path.startsWith('/')) throw refused('path-unusable', JSON.stringify(path), 'is no full path.', 'Begin with /.');
  try {
    const real = fs.realpathSync(at(root, path));
    const prefix = fs.realpathSync(root.prefix);
    return prefix === '/' ? real : real.slice(prefix.length) || '/';
  } catch {
    throw refused('path-unusable', path, 'is not there.', remedy);
  }
}

/**
 * A folder that a backup may go to.
 * @param dataDisks folders of the product's data: their disks take no backup
 * @throws CmsadmError path-unusable, on-data-disk
 */
export function folderTarget(root: Root, typed: string, dataDisks: readonly string[]): Target {
  const path = realPath(root, typed);
  if (!fs.statSync(at(root, path)).isDirectory())
    throw refused('path-unusable', path, 'is no folder.', 'Give a folder; what is no folder is device 1.');
  try {
    fs.accessSync(at(root, path), fs.constants.W_OK);
  } catch {
    throw refused('path-unusable', path, 'cannot be written.', 'Mount it for writing, or give another folder.');
  }
  refuseDataDisk(root, path, dataDisks);
  return { kind: 'folder', path, isTape: false };
}

function refuseDataDisk(root: Root, path: string, dataDisks: readonly string[]): void {
  const mounts = mountsNow();
  const deviceOf = (one: string): string => mountOf(one, mounts).device;
  const system = deviceOf(fs.realpathSync(root.prefix));
  for (const disk of dataDisks.filter((one) => fs.existsSync(at(root, one)))) {
    const real = realPath(root, disk);
    const device = deviceOf(fs.realpathSync(at(root, disk)));
    const isOnIt = device !== system && device === deviceOf(fs.realpathSync(at(root, path)));
    if (isOnIt || isWithin(path, real))
      throw refused('on-data-disk', path, `lies on a data disk (${disk}).`, 'Give a place on another disk.');
  }
}

/** Block major and character major of SCSI tapes (Linux, devices.txt). */
const tapeMajor = 9;
/** Memory, terminals, miscellaneous devices. */
const neverTapes = new Set([1, 4, 5, 10, 136]);

/**
 * A tape drive, or a file of blocks that stands for one. What is on a tape is looked at later: `heldOn`.
 * @param dataDisks folders of the product's data: no file on their disks takes a backup
 * @throws CmsadmError path-unusable, on-data-disk
 */
export function deviceTarget(root: Root, typed: string, dataDisks: readonly string[]): Target {
  const path = realPath(root, typed, 'Connect the drive (`ls /dev/nst*` shows tapes), or give another device.');
  const stat = fs.statSync(at(root, path));
  if (stat.isDirectory())
    throw refused('path-unusable', path, 'is a folder.', 'Give the device of the drive, such as /dev/nst0.');
  if (stat.isBlockDevice() && mountsNow().some(({ device }) => device === numbers(stat.rdev)))
    throw refused('path-unusable', path, 'is mounted.', 'Unmount it first, or give another device.');
  if (stat.isCharacterDevice() && neverTapes.has(major(stat.rdev)))
    throw refused('path-unusable', path, 'is no tape drive.', 'Give the device of the drive, such as /dev/nst0.');
  if (stat.isFile()) refuseDataDisk(root, path, dataDisks);
  if (!stat.isCharacterDevice()) refuseForeign(path, headOf(at(root, path)));
  return { kind: 'device', path, isTape: stat.isCharacterDevice() && major(stat.rdev) === tapeMajor };
}

// makedev(3)
const major = (device: number): number => (device >> 8) & 0xfff;
const minor = (device: number): number => (device & 0xff) | ((device >> 12) & 0xfff00);
const numbers = (device: number): string => `${major(device)}:${minor(device)}`;

/** A file system begins within its first megabyte. */
function headOf(file: string): Buffer {
  const head = Buffer.alloc(1024 * 1024);
  const handle = fs.openSync(file, 'r');
  try {
    fs.readSync(handle, head, 0, head.length, null);
  } finally {
    fs.closeSync(handle);
  }
  return head;
}

/** The first block of a rewound tape; only zeros where it cannot be read: so an empty tape answers, too. (st(4)) */
function headOfTape(path: string, file: string): Buffer {
  try {
    return headOf(file);
  } catch (error) {
    if (codeOf(error) === 'EIO') return Buffer.alloc(512);
    // Its block is larger than any of ours.
    if (codeOf(error) === 'ENOMEM') throw foreign(path);
    throw error;
  }
}

const isEmpty = (head: Buffer): boolean => head.every((byte) => byte === 0);

function refuseForeign(path: string, head: Buffer): void {
  if (!isBackupHead(head) && !isEmpty(head)) throw foreign(path);
}

const foreign = (path: string): CmsadmError =>
  refused(
    'path-unusable',
    path,
    'holds something else.',
    'Give an empty tape, file or disk, or one that a backup was written to.',
  );

/** What a device holds: a backup, nothing, or what does not tell what it is. */
export type Held = BackupFacts | 'nothing' | 'unknown';

/**
 * What a backup to this device would write over; a tape is rewound for it.
 * @throws CmsadmError path-unusable for a tape that holds something else, tape-refused
 */
export async function heldOn(root: Root, { path, isTape }: Target): Promise<Held> {
  const place = { file: at(root, path), isTape };
  // A drive that nobody rewinds would be written from where reading ended.
  if (!isTape && fs.statSync(place.file).isCharacterDevice()) return 'unknown';
  await rewind(place);
  const head = isTape ? headOfTape(path, place.file) : headOf(place.file);
  if (isEmpty(head)) return 'nothing';
  refuseForeign(path, head);
  return (await readFactsOf(place)) ?? 'unknown';
}

/**
 * The file or device that holds a backup that was made.
 * @throws CmsadmError path-unusable
 */
export function archiveAt(root: Root, typed: string): Target & { readonly folder: string } {
  const path = realPath(root, typed, '`cmsadm backup list` shows where backups are.');
  const stat = fs.statSync(at(root, path));
  if (stat.isDirectory())
    throw refused('path-unusable', path, 'is a folder.', `Name the backup in it, such as ${join(path, 'CMSADM-…')}.`);
  const isTape = stat.isCharacterDevice() && major(stat.rdev) === tapeMajor;
  return { kind: stat.isFile() ? 'folder' : 'device', path, isTape, folder: dirname(path) };
}

/** @throws CmsadmError no-room */
export function requireRoom(path: string, freeMb: number, neededBytes: number): void {
  const needed = Math.ceil(neededBytes / 1048576);
  if (freeMb >= needed) return;
  throw refused(
    'no-room',
    path,
    `has ${freeMb} MB free, and the backup needs about ${needed} MB.`,
    'Make room (`cmsadm backup prune`), give another target, or compress it.',
  );
}
