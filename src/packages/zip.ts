/** Zip files from outside, read without trust: names, kinds and sizes are judged before any content is. */
import { closeSync, fstatSync, openSync, readSync, type Stats } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { CmsadmError } from '../errors.ts';
import { type FileBytes, readDirectory, type ZipHeader } from './zip-directory.ts';

export type ZipLimits = {
  readonly maxEntries: number /** Bytes of all contents together. */;
  readonly maxTotal: number;
};

export type ZipFile = {
  /** The files in it, folders left out, in the archive's order. */
  readonly names: readonly string[];
  /** How long the table of contents says that a file is; undefined for one that is not there. */
  readonly size: (name: string) => number | undefined;
  /** The content of one file; at most `maxSize` bytes are accepted. Throws 'zip-entry-missing', 'zip-damaged', 'zip-too-large'. */
  readonly read: (name: string, maxSize?: number) => Buffer;
};

const defaultLimits: ZipLimits = { maxEntries: 100, maxTotal: 512 * 1024 * 1024 };
const stored = 0;
const deflated = 8;
const regularFile = 0o100000;
const folder = 0o040000;
const remedy = 'Fetch the file again from where it was published; do not unpack this one.';

/**
 * Opens a zip file. Of its contents, only what is asked for is read: most of an HA package is for a server that has it
 * not. What was read once stays as it was read. Stored content is a view of it, deflated content is inflated.
 * Throws 'zip-unreadable', 'not-a-zip', 'zip-truncated', 'zip-damaged', 'zip-unsupported', 'zip-encrypted',
 * 'zip-unsafe' (a name or kind of entry that could write elsewhere), 'zip-too-large'.
 */
export async function readZip(path: string, limits: ZipLimits = defaultLimits): Promise<ZipFile> {
  const bytes = readByParts(path, await factsOf(path, limits));
  return openZip(bytes.whole, path, limits, bytes);
}

/** The same for bytes that were read already. @param path names them in errors */
export async function openZip(
  whole: Buffer,
  path: string,
  limits: ZipLimits,
  bytes: FileBytes = { length: whole.length, between: (from, to) => whole.subarray(from, to) },
): Promise<ZipFile> {
  if (whole.length > limits.maxTotal + 1024 * 1024) throw tooLarge(path, `the archive has ${whole.length} bytes`);
  const headers = readDirectory(bytes, path);
  checkSizes(headers, limits, path);
  const seen = new Set<string>();
  for (const header of headers) checkEntry(header, seen, path);
  const { default: AdmZip } = await import('adm-zip');
  const zip = new AdmZip(whole, { noSort: true });
  const files = new Map(headers.filter(({ name }) => !name.endsWith('/')).map((header) => [header.name, header]));

  return {
    names: [...files.keys()],
    size: (name) => files.get(name)?.size,
    read(name, maxSize = limits.maxTotal) {
      const header = files.get(name);
      const entry = zip.getEntry(name);
      if (header === undefined || entry === null)
        throw new CmsadmError('zip-entry-missing', `The zip archive holds no ${shown(name)}.`, { file: path, remedy });
      if (header.size > maxSize) throw tooLarge(path, `${shown(name)} has ${header.size} bytes`);
      bytes.between(header.from, header.to);
      const content = header.method === stored ? entry.getCompressedData() : inflate(() => entry.getData(), name, path);
      if (content.length !== header.size || crc32(content) !== header.crc) throw damagedEntry(name, path);
      return content;
    },
  };
}

/** A name from a foreign file as it may be shown on a terminal. */
export function shown(name: string): string {
  const plain = name.replace(/[^\x20-\x7e]/gu, '?');
  return `"${plain.length > 80 ? `${plain.slice(0, 77)}...` : plain}"`;
}

/** A zip file's bytes. Throws 'zip-unreadable' (for what is no file, too), 'zip-too-large'. */
export async function readWhole(path: string, limits: ZipLimits): Promise<Buffer> {
  await factsOf(path, limits);
  return readFile(path).catch((cause: unknown) => {
    throw unreadable(path, cause);
  });
}

async function factsOf(path: string, limits: ZipLimits): Promise<Stats> {
  const facts = await stat(path).catch((cause: unknown) => {
    throw unreadable(path, cause);
  });
  // A pipe or a device would block or never end.
  if (!facts.isFile()) throw new CmsadmError('zip-unreadable', 'This is not a file.', { file: path, remedy: retype });
  if (facts.size > limits.maxTotal + 1024 * 1024) throw tooLarge(path, `the archive has ${facts.size} bytes`);
  return facts;
}

/** A file's bytes, each part read when it is first asked for, and as long as it is the file that was looked at. */
function readByParts(path: string, facts: Stats): FileBytes & { readonly whole: Buffer } {
  const part = 64 * 1024;
  const whole = Buffer.alloc(facts.size);
  const read = new Set<number>();
  const load = (from: number, to: number): void => {
    let descriptor: number | undefined;
    try {
      descriptor = openSync(path, 'r');
      const { ino, size, mtimeMs } = fstatSync(descriptor);
      let at = from;
      while (at < to && ino === facts.ino && size === facts.size && mtimeMs === facts.mtimeMs) {
        const got = readSync(descriptor, whole, at, to - at, at);
        if (got === 0) break;
        at += got;
      }
      if (at < to)
        throw new CmsadmError('zip-unreadable', 'The file was changed while it was read.', {
          file: path,
          remedy: 'Once it is copied whole, try again.',
        });
    } catch (cause) {
      throw unreadable(path, cause);
    } finally {
      if (descriptor !== undefined) closeSync(descriptor);
    }
  };
  const between = (from: number, to: number): Buffer => {
    const [first, end] = [Math.floor(from / part), Math.ceil(Math.min(to, whole.length) / part)];
    const missing = Array.from({ length: Math.max(0, end - first) }, (_, i) => first + i).filter((i) => !read.has(i));
    if (missing.length > 0) load((missing[0] ?? 0) * part, Math.min(((missing.at(-1) ?? 0) + 1) * part, whole.length));
    for (const i of missing) read.add(i);
    return whole.subarray(from, to);
  };
  return { length: whole.length, whole, between };
}

/** What the system refused, by its name; anything else as it is. */
function unreadable(file: string, cause: unknown): unknown {
  if (cause instanceof CmsadmError || !(cause instanceof Error)) return cause;
  const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.message;
  return new CmsadmError('zip-unreadable', `The file cannot be read (${code}).`, { file, remedy: retype, cause });
}

const retype = 'Give the full path of a zip file that you may read.';

function checkSizes(headers: readonly ZipHeader[], limits: ZipLimits, file: string): void {
  if (headers.length > limits.maxEntries) throw tooLarge(file, `it holds ${headers.length} entries`);
  const total = headers.reduce((sum, { size }) => sum + size, 0);
  if (total > limits.maxTotal) throw tooLarge(file, `its contents have ${total} bytes`);
}

function checkEntry(header: ZipHeader, seen: Set<string>, file: string): void {
  const { name } = header;
  const isFolder = name.endsWith('/');
  const wrong = nameProblem(name) ?? kindProblem(header, isFolder);
  // Two names that a file system could take for one.
  const key = (isFolder ? name.slice(0, -1) : name).normalize('NFC').toLowerCase();
  if (wrong !== undefined || seen.has(key))
    throw new CmsadmError('zip-unsafe', `The zip archive holds ${shown(name)}, which ${wrong ?? 'is there twice'}.`, {
      file,
      remedy,
    });
  seen.add(key);
  if (header.encrypted)
    throw new CmsadmError('zip-encrypted', `In the zip archive ${shown(name)} is encrypted.`, { file, remedy });
  if (header.method !== stored && header.method !== deflated)
    throw new CmsadmError('zip-unsupported', `In the zip archive ${shown(name)} is compressed in an unknown way.`, {
      file,
      remedy,
    });
  if ((header.method === stored && header.storedSize !== header.size) || (isFolder && header.size !== 0))
    throw damagedEntry(name, file);
}

function nameProblem(name: string): string | undefined {
  if (name === '' || name === '/') return 'has no name';
  if (name.startsWith('/') || /^[a-z]:/iu.test(name)) return 'is an absolute path';
  if (name.includes('\\')) return 'has a backslash in its name';
  if (/[\p{Cc}\p{Cf}\u2028\u2029\ufffd]/u.test(name)) return 'has unprintable characters in its name';
  if (
    name
      .replace(/\/$/u, '')
      .split('/')
      .some((part) => part === '..' || part === '.' || part === '')
  )
    return 'leads out of its folder';
  return undefined;
}

function kindProblem({ fileType, specialBits }: ZipHeader, isFolder: boolean): string | undefined {
  if (specialBits !== 0) return 'has set-id or sticky bits';
  if (fileType === 0 || fileType === (isFolder ? folder : regularFile)) return undefined;
  return fileType === 0o120000 ? 'is a link' : 'is neither a file nor a folder';
}

function inflate(read: () => Buffer, name: string, file: string): Buffer {
  try {
    return read();
  } catch (cause) {
    throw damagedEntry(name, file, cause);
  }
}

function damagedEntry(name: string, file: string, cause?: unknown): CmsadmError {
  return new CmsadmError('zip-damaged', `In the zip archive ${shown(name)} is damaged.`, { file, remedy, cause });
}

function tooLarge(file: string, fact: string): CmsadmError {
  return new CmsadmError('zip-too-large', `The zip archive is larger than any of its kind: ${fact}.`, { file, remedy });
}
