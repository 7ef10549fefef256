/**
 * The table of contents of a zip file, read strictly: one disk, no ZIP64, nothing before, between, or after.
 * A file that two programs could read in two ways is refused. Source: PKWARE APPNOTE.TXT 6.3, sections 4.3 and 4.4.
 */
import { CmsadmError } from '../errors.ts';

export type ZipHeader = {
  readonly name: string;
  readonly encrypted: boolean;
  readonly method: number;
  readonly crc: number;
  readonly storedSize: number;
  readonly size: number;
  /** File type bits of the Unix mode (0o100000 file, 0o040000 folder, 0 not told). */
  readonly fileType: number;
  /** Set-user-id, set-group-id and sticky bits of the Unix mode. */
  readonly specialBits: number;
  /** Where its local header begins, and where its content ends. */
  readonly from: number;
  readonly to: number;
};

/** The bytes of a file, of which only what is asked for need be read. */
export type FileBytes = {
  readonly length: number;
  /** Those from `from` to before `to`, fewer where the file ends earlier. */
  readonly between: (from: number, to: number) => Buffer;
};

const sizes = { local: 30, central: 46, end: 22, locator64: 20 } as const;
const signatures = { local: 0x04034b50, central: 0x02014b50, end: 0x06054b50, locator64: 0x07064b50 } as const;
const remedy = 'Fetch the file again and compare its SHA-256 with the published one.';

/**
 * The headers of a zip file, in its order. Local headers must agree with the table of contents.
 * Throws 'not-a-zip', 'zip-truncated', 'zip-damaged', 'zip-unsupported'.
 */
export function readDirectory(bytes: FileBytes, file: string): ZipHeader[] {
  const { end, start, entries } = findEnd(bytes, file);
  const table = bytes.between(start, end);
  const headers: ZipHeader[] = [];
  let at = 0;
  for (let left = entries; left > 0; left--) {
    if (at + sizes.central > table.length || table.readUInt32LE(at) !== signatures.central) throw damaged(file);
    const nameEnd = at + sizes.central + table.readUInt16LE(at + 28);
    const next = nameEnd + table.readUInt16LE(at + 30) + table.readUInt16LE(at + 32);
    if (next > table.length) throw damaged(file);
    const rawName = table.subarray(at + sizes.central, nameEnd);
    const flags = table.readUInt16LE(at + 8);
    const entry = {
      name: rawName.toString('utf8'),
      encrypted: (flags & 0x2041) !== 0,
      method: table.readUInt16LE(at + 10),
      crc: table.readUInt32LE(at + 16),
      storedSize: table.readUInt32LE(at + 20),
      size: table.readUInt32LE(at + 24),
      fileType: (table.readUInt32LE(at + 38) >>> 16) & 0o170000,
      specialBits: (table.readUInt32LE(at + 38) >>> 16) & 0o7000,
    };
    const from = table.readUInt32LE(at + 42);
    const to = endOfContent(bytes, from, end, rawName, entry);
    if (to === undefined) throw damaged(file);
    headers.push({ ...entry, from, to });
    at = next;
  }
  if (at !== table.length) throw damaged(file);
  return headers;
}

/**
 * Where the end record stands: the last 22 bytes, without a comment, so that only one can be found.
 * @returns its place, the table's, and how many entries that has
 */
function findEnd(bytes: FileBytes, file: string): { end: number; start: number; entries: number } {
  const head = bytes.between(0, 4);
  const first = head.length === 4 ? head.readUInt32LE(0) : 0;
  if (first !== signatures.local && first !== signatures.end)
    throw new CmsadmError('not-a-zip', 'The file is not a zip archive.', { file, remedy: 'Give the path of the zip.' });
  const end = bytes.length - sizes.end;
  const record = bytes.between(Math.max(0, end), bytes.length);
  if (end < 0 || record.readUInt32LE(0) !== signatures.end || record.readUInt16LE(20) !== 0)
    throw new CmsadmError('zip-truncated', 'The zip archive is cut short, or something was added at its end.', {
      file,
      remedy,
    });
  const wide = bytes.between(Math.max(0, end - sizes.locator64), end);
  for (let i = 0; i + 4 <= wide.length; i++)
    if (wide.readUInt32LE(i) === signatures.locator64)
      throw new CmsadmError('zip-unsupported', 'The zip archive is in the ZIP64 form, which is not used here.', {
        file,
        remedy,
      });
  const entries = record.readUInt16LE(10);
  const start = record.readUInt32LE(16);
  const onOneDisk = record.readUInt32LE(4) === 0 && record.readUInt16LE(8) === entries;
  if (!onOneDisk || start + record.readUInt32LE(12) !== end) throw damaged(file);
  return { end, start, entries };
}

/** Where the content ends by the local header; undefined where that says something else: unzip programs differ in whom they believe. */
function endOfContent(
  bytes: FileBytes,
  from: number,
  end: number,
  rawName: Buffer,
  entry: { readonly method: number; readonly storedSize: number },
): number | undefined {
  if (from + sizes.local > end) return undefined;
  const local = bytes.between(from, from + sizes.local + rawName.length);
  const to = from + sizes.local + local.readUInt16LE(26) + local.readUInt16LE(28) + entry.storedSize;
  const alike =
    local.readUInt32LE(0) === signatures.local &&
    local.readUInt16LE(8) === entry.method &&
    local.readUInt16LE(26) === rawName.length &&
    local.subarray(sizes.local).equals(rawName);
  return alike && to <= end ? to : undefined;
}

function damaged(file: string): CmsadmError {
  return new CmsadmError(
    'zip-damaged',
    'The zip archive is damaged: its table of contents does not fit its contents.',
    {
      file,
      remedy,
    },
  );
}
