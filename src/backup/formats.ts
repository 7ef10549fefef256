import { cpioEnd, cpioFormat, cpioHeader, cpioPadding } from './cpio-format.ts';
import type { Format } from './scan.ts';
import { tarEnd, tarFormat, tarHeader, tarPadding } from './tar-format.ts';

export const formatNames = ['tar', 'cpio'] as const;
export type FormatName = (typeof formatNames)[number];

export const compressions = ['none', 'gzip', 'zstd'] as const;
export type Compression = (typeof compressions)[number];

/** Archives are whole blocks of so many bytes: what tape drives and the original's archives want. */
export const blockSize = 10_240;

/** Reading an archive format, and writing members of our own into it. */
export type ArchiveFormat = {
  readonly read: () => Format;
  readonly header: (name: string, size: number, seconds: number) => Buffer;
  /** What follows a content of this size. */
  readonly padding: (size: number) => Buffer;
  readonly end: () => Buffer;
};

export const formats: Readonly<Record<FormatName, ArchiveFormat>> = {
  tar: { read: tarFormat, header: tarHeader, padding: tarPadding, end: tarEnd },
  cpio: { read: cpioFormat, header: cpioHeader, padding: cpioPadding, end: cpioEnd },
};

/** Members that this program adds to what the archiver writes; any archiver can read and ignore them. */
const ownFolder = './.cmsadm-backup';
export const ownMembers = {
  folder: ownFolder,
  /** The first member. */
  facts: `${ownFolder}/facts.json`,
  /** What cpio can't hold: extended attributes, access lists and labels; times to the nanosecond. */
  attributes: `${ownFolder}/attributes`,
  times: `${ownFolder}/times`,
  /** The last member: an archive without it is not whole. */
  manifest: `${ownFolder}/manifest`,
} as const;

/** By the first bytes of a file; undefined where they are none of ours. */
export function compressionOf(head: Buffer): Compression | undefined {
  if (head.readUInt32BE(0) === 0x28b5_2ffd) return 'zstd';
  if (head.readUInt16BE(0) === 0x1f8b) return 'gzip';
  return formatOf(head) && 'none';
}

export function formatOf(head: Buffer): FormatName | undefined {
  if (head.toString('latin1', 257, 262) === 'ustar') return 'tar';
  return head.toString('latin1', 0, 6) === '070701' ? 'cpio' : undefined;
}

/** True for the beginning of what a backup wrote; of a compressed one no more can be seen. */
export const isBackupHead = (head: Buffer): boolean => {
  const name = { tar: head.toString('latin1', 0, 100), cpio: head.toString('latin1', 110, 210) };
  const format = formatOf(head);
  return format === undefined ? compressionOf(head) !== undefined : name[format].startsWith(ownMembers.facts);
};
