import * as fs from 'node:fs';
import { dirname, join } from 'node:path';
import { CmsadmError } from '../errors.ts';
import { at, type Root } from '../host/root.ts';
import { isBackupHead } from './formats.ts';
import { isWithin, mountOf, mountsNow } from './mounts.ts';

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
      throw refused('on-data-disk', path, `lies on a data disk (${disk}).`, 'Give a folder on another disk.');
  }
}

/** Block major and character major of SCSI tapes (Linux, devices.txt). */
const tapeMajor = 9;
/** Memory, terminals, miscellaneous devices. */
const neverTapes = new Set([1, 4, 5, 10, 136]);

/**
 * A tape drive, or a file of blocks that stands for one.
 * @throws CmsadmError path-unusable
 */
export function deviceTarget(root: Root, typed: string): Target {
  const path = realPath(root, typed, 'Connect the drive (`ls /dev/nst*` shows tapes), or give another device.');
  const stat = fs.statSync(at(root, path));
  if (stat.isDirectory())
    throw refused('path-unusable', path, 'is a folder.', 'Give the device of the drive, such as /dev/nst0.');
  if (stat.isBlockDevice() && mountsNow().some(({ device }) => device === numbers(stat.rdev)))
    throw refused('path-unusable', path, 'is mounted.', 'Unmount it first, or give another device.');
  if (stat.isCharacterDevice() && neverTapes.has(major(stat.rdev)))
    throw refused('path-unusable', path, 'is no tape drive.', 'Give the device of the drive, such as /dev/nst0.');
  if (!stat.isCharacterDevice() && !isFree(at(root, path)))
    throw refused(
      'path-unusable',
      path,
      'holds something else.',
      'Give an empty file or disk, or one that a backup was written to.',
    );
  return { kind: 'device', path, isTape: stat.isCharacterDevice() && major(stat.rdev) === tapeMajor };
}

// makedev(3)
const major = (device: number): number => (device >> 8) & 0xfff;
const minor = (device: number): number => (device & 0xff) | ((device >> 12) & 0xfff00);
const numbers = (device: number): string => `${major(device)}:${minor(device)}`;

/** What an earlier backup wrote, or nothing but zeros: a file system begins within its first megabyte. */
function isFree(file: string): boolean {
  const head = Buffer.alloc(1024 * 1024);
  const handle = fs.openSync(file, 'r');
  try {
    fs.readSync(handle, head, 0, head.length, 0);
  } finally {
    fs.closeSync(handle);
  }
  return isBackupHead(head) || head.every((byte) => byte === 0);
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
