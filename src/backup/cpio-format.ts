// cpio(5), the "new portable" format (newc), as GNU cpio writes it.
import { damagedArchive, type Format, type MemberKind } from './scan.ts';

const headerLength = 110;
const endName = 'TRAILER!!!';
/** Sizes have 32 bits. */
export const largestInCpio = 0xffff_ffff;

/** By the highest digits of the mode, in octal (inode(7)). */
const kinds: Readonly<Record<string, MemberKind>> = {
  '1': 'fifo',
  '2': 'device',
  '4': 'folder',
  '6': 'device',
  '10': 'file',
  '12': 'link',
};

/** Reads members. Headers have no sum: one that is no header ends the reading. */
export function* cpioFormat(): Format {
  let last = '';
  for (;;) {
    const header = yield { take: headerLength };
    const fields = fieldsOf(header);
    if (!fields) throw damagedArchive(`No header stands${last === '' ? ' at its beginning' : ` after ${last}`}.`);
    const { mode, size, nameSize, links, inode } = fields;
    const raw = yield { take: nameSize + toFour(headerLength + nameSize) };
    const written = raw.toString('latin1', 0, nameSize - 1);
    if (written === endName) return;
    const name = asTarHasIt(written);
    last = name;
    const kind = kinds[(mode >> 12).toString(8)] ?? 'file';
    const member = { name, kind, size };
    const isShared = links > 1 && kind !== 'folder';
    yield { content: isShared ? { ...member, sharedWith: inode } : member, padding: toFour(size) };
  }
}

/** GNU cpio takes `./` off the names that it is given. */
const asTarHasIt = (name: string): string => (name === '.' || /^(\/|\.\/)/.test(name) ? name : `./${name}`);
export const asCpioHasIt = (name: string): string => name.replace(/^\.\//, '');

/** Bytes up to the next multiple of four. */
const toFour = (size: number): number => (4 - (size % 4)) % 4;

function fieldsOf(header: Buffer) {
  const hex = header.toString('latin1');
  if (!/^070701[0-9A-Fa-f]{104}$/.test(hex)) return undefined;
  const field = (index: number): number => Number.parseInt(hex.slice(6 + index * 8, 14 + index * 8), 16);
  const nameSize = field(11);
  if (nameSize < 1 || nameSize > 65_536) return undefined;
  return {
    mode: field(1),
    links: field(4),
    size: field(6),
    nameSize,
    inode: `${field(7)}:${field(8)}:${field(0)}`,
  };
}

/** The header of a member of our own: a file of root's, 0600. */
export function cpioHeader(name: string, size: number, seconds: number, mode = 0o100600): Buffer {
  const nameSize = Buffer.byteLength(name, 'latin1') + 1;
  const fields = [0, mode, 0, 0, 1, seconds, size, 0, 0, 0, 0, nameSize, 0];
  const hex = fields.map((value) => value.toString(16).toUpperCase().padStart(8, '0')).join('');
  return Buffer.concat([Buffer.from(`070701${hex}${name}\0`, 'latin1'), Buffer.alloc(toFour(headerLength + nameSize))]);
}

export const cpioPadding = (size: number): Buffer => Buffer.alloc(toFour(size));
export const cpioEnd = (): Buffer => cpioHeader(endName, 0, 0, 0);
