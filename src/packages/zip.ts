/** Zip files from outside, read without trust: names, kinds and sizes are judged before any content is. */
import { type FileHandle, open, stat } from 'node:fs/promises';
import { crc32 } from 'node:zlib';
import { CmsadmError } from '../errors.ts';
import { readDirectory, type ZipHeader } from './zip-directory.ts';

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
 * Opens a zip file, wholly in memory. Stored content is a view of it, deflated content is inflated when read.
 * Throws 'zip-unreadable', 'not-a-zip', 'zip-truncated', 'zip-damaged', 'zip-unsupported', 'zip-encrypted',
 * 'zip-unsafe' (a name or kind of entry that could write elsewhere), 'zip-too-large'.
 */
export async function readZip(path: string, limits: ZipLimits = defaultLimits): Promise<ZipFile> {
  return openZip(await readWhole(path, limits), path, limits);
}

/** The same for bytes that were read already. @param path names them in errors */
export async function openZip(bytes: Buffer, path: string, limits: ZipLimits): Promise<ZipFile> {
  if (bytes.length > limits.maxTotal + 1024 * 1024) throw tooLarge(path, `the archive has ${bytes.length} bytes`);
  const headers = readDirectory(bytes, path);
  checkSizes(headers, limits, path);
  const seen = new Set<string>();
  for (const header of headers) checkEntry(header, seen, path);
  const { default: AdmZip } = await import('adm-zip');
  const zip = new AdmZip(bytes, { noSort: true });
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
  try {
    const facts = await stat(path);
    // A pipe or a device would block or never end.
    if (!facts.isFile()) throw new CmsadmError('zip-unreadable', 'This is not a file.', { file: path, remedy: retype });
    if (facts.size > limits.maxTotal + 1024 * 1024) throw tooLarge(path, `the archive has ${facts.size} bytes`);
    const handle = await open(path);
    return await readInOne(handle, facts.size).finally(() => handle.close());
  } catch (cause) {
    if (cause instanceof CmsadmError || !(cause instanceof Error)) throw cause;
    const code = 'code' in cause && typeof cause.code === 'string' ? cause.code : cause.message;
    throw new CmsadmError('zip-unreadable', `The file cannot be read (${code}).`, {
      file: path,
      remedy: retype,
      cause,
    });
  }
}

/** fs.readFile takes 512 KiB at a time, which for an HA package is a hundred and more. */
async function readInOne(handle: FileHandle, size: number): Promise<Buffer> {
  const bytes = Buffer.allocUnsafeSlow(size);
  let filled = 0;
  while (filled < size) {
    const { bytesRead } = await handle.read(bytes, filled, size - filled, filled);
    if (bytesRead === 0) break; // cut short meanwhile: it is judged as what it is now
    filled += bytesRead;
  }
  return bytes.subarray(0, filled);
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
