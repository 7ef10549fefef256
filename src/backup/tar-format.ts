// tar(5), the ustar and pax interchange formats as GNU tar writes them.
import type { Format, MemberKind } from './scan.ts';

const block = 512;

const kinds: Readonly<Record<string, MemberKind>> = {
  '\0': 'file',
  '0': 'file',
  '1': 'hard link',
  '2': 'link',
  '3': 'device',
  '4': 'device',
  '5': 'folder',
  '6': 'fifo',
  '7': 'file',
};

/** Reads members; a header whose sum is wrong is told, and reading goes on at the next one that is right. */
export function* tarFormat(): Format {
  let extended: Record<string, string> = {};
  let isLost = false;
  for (;;) {
    const header = yield { take: block };
    if (header.every((byte) => byte === 0)) {
      if (isLost) continue; // zeros of a content that nobody knows the length of
      return;
    }
    if (!isHeader(header)) {
      if (!isLost) yield { damaged: `a header that may have been ${named(header)}`, resume: Buffer.alloc(0) };
      isLost = true;
      continue;
    }
    if (isLost) yield { damaged: 'what stands before the next header', resume: Buffer.from(header) };
    isLost = false;
    const type = text(header, 156, 1) || '\0';
    const size = Number(extended['size'] ?? numberAt(header, 124, 12));
    if ('xgLK'.includes(type)) {
      const body = yield { take: padded(size) };
      if (type !== 'g') extended = { ...extended, ...extensionOf(type, body.subarray(0, size)) };
      continue;
    }
    const kind = kinds[type] ?? 'file';
    const length = kind === 'file' ? size : 0;
    const shared = kind === 'hard link' ? (extended['linkpath'] ?? text(header, 157, 100)) : undefined;
    const member = { name: nameOf(header, extended), kind, size: length };
    yield {
      content: shared === undefined ? member : { ...member, sharedWith: shared },
      padding: padded(length) - length,
    };
    extended = {};
  }
}

const padded = (size: number): number => Math.ceil(size / block) * block;

const text = (header: Buffer, start: number, length: number): string => {
  const field = header.toString('latin1', start, start + length);
  const end = field.indexOf('\0');
  return end === -1 ? field : field.slice(0, end);
};

/** Octal digits, or base 256 where the first bit is set (GNU). */
function numberAt(header: Buffer, start: number, length: number): number {
  if (((header[start] ?? 0) & 0x80) === 0) return Number.parseInt(text(header, start, length).trim() || '0', 8);
  return Number(BigInt(`0x${header.toString('hex', start + 1, start + length)}`));
}

/** The sum of a header counts its own field as blanks. */
function sumOf(header: Buffer): number {
  let sum = 8 * 0x20;
  for (let i = 0; i < block; i += 1) if (i < 148 || i >= 156) sum += header[i] ?? 0;
  return sum;
}

const isHeader = (header: Buffer): boolean =>
  text(header, 257, 5) === 'ustar' && numberAt(header, 148, 8) === sumOf(header);

function named(header: Buffer): string {
  const name = text(header, 0, 100);
  return /^[\x20-\x7e]+$/.test(name) ? name : 'anything';
}

function nameOf(header: Buffer, extended: Readonly<Record<string, string>>): string {
  const told = extended['GNU.sparse.name'] ?? extended['path'];
  if (told !== undefined) return told;
  // GNU's own old format keeps times where ustar has the prefix.
  const prefix = text(header, 257, 6) === 'ustar' ? text(header, 345, 155) : '';
  return prefix === '' ? text(header, 0, 100) : `${prefix}/${text(header, 0, 100)}`;
}

function extensionOf(type: string, body: Buffer): Record<string, string> {
  if (type === 'L') return { path: text(body, 0, body.length) };
  if (type === 'K') return { linkpath: text(body, 0, body.length) };
  return paxRecords(body);
}

const known = new Set(['path', 'linkpath', 'size', 'GNU.sparse.name']);

/** Records `<length> <key>=<value>\n`; the length counts all of it. */
function paxRecords(body: Buffer): Record<string, string> {
  const records: Record<string, string> = {};
  for (let at = 0; at < body.length; ) {
    const blank = body.indexOf(0x20, at);
    const length = Number(body.toString('latin1', at, blank));
    if (blank === -1 || !Number.isInteger(length) || length <= blank - at) break;
    const equals = body.indexOf(0x3d, blank);
    const key = body.toString('latin1', blank + 1, equals);
    if (known.has(key)) records[key] = body.toString('latin1', equals + 1, at + length - 1);
    at += length;
  }
  return records;
}

/** The header of a member of our own: a file of root's, 0600. */
export function tarHeader(name: string, size: number, seconds: number): Buffer {
  const header = Buffer.alloc(block);
  const octal = (value: number, length: number): string => `${value.toString(8).padStart(length - 1, '0')}\0`;
  const fields: readonly (readonly [number, string])[] = [
    [0, name],
    [100, octal(0o600, 8)],
    [108, octal(0, 8)],
    [116, octal(0, 8)],
    [124, octal(size, 12)],
    [136, octal(seconds, 12)],
    [156, '0'],
    [257, 'ustar\x0000'],
    [265, 'root'],
    [297, 'root'],
  ];
  for (const [start, value] of fields) header.write(value, start, 'latin1');
  header.write(`${sumOf(header).toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

/** Two blocks of zeros; who writes whole blocks fills up with more. */
export const tarEnd = (): Buffer => Buffer.alloc(2 * block);
export const tarPadding = (size: number): Buffer => Buffer.alloc(padded(size) - size);
