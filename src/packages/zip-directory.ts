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
};

const sizes = { local: 30, central: 46, end: 22, locator64: 20 } as const;
const signatures = { local: 0x04034b50, central: 0x02014b50, end: 0x06054b50, locator64: 0x07064b50 } as const;
const remedy = 'Fetch the file again and compare its SHA-256 with the published one.';

/**
 * The headers of a zip file, in its order. Local headers must agree with the table of contents.
 * Throws 'not-a-zip', 'zip-truncated', 'zip-damaged', 'zip-unsupported'.
 */
export function readDirectory(bytes: Buffer, file: string): ZipHeader[] {
  const end = findEnd(bytes, file);
  const headers: ZipHeader[] = [];
  let at = bytes.readUInt32LE(end + 16);
  for (let left = bytes.readUInt16LE(end + 10); left > 0; left--) {
    if (at + sizes.central > end || bytes.readUInt32LE(at) !== signatures.central) throw damaged(file);
    const nameEnd = at + sizes.central + bytes.readUInt16LE(at + 28);
    const next = nameEnd + bytes.readUInt16LE(at + 30) + bytes.readUInt16LE(at + 32);
    if (next > end) throw damaged(file);
    const rawName = bytes.subarray(at + sizes.central, nameEnd);
    const flags = bytes.readUInt16LE(at + 8);
    const header = {
      name: rawName.toString('utf8'),
      encrypted: (flags & 0x2041) !== 0,
      method: bytes.readUInt16LE(at + 10),
      crc: bytes.readUInt32LE(at + 16),
      storedSize: bytes.readUInt32LE(at + 20),
      size: bytes.readUInt32LE(at + 24),
      fileType: (bytes.readUInt32LE(at + 38) >>> 16) & 0o170000,
      specialBits: (bytes.readUInt32LE(at + 38) >>> 16) & 0o7000,
    };
    const local = bytes.readUInt32LE(at + 42);
    if (!agrees(bytes, local, end, rawName, header)) throw damaged(file);
    headers.push(header);
    at = next;
  }
  if (at !== end) throw damaged(file);
  return headers;
}

/** Where the end record stands: the last 22 bytes, without a comment, so that only one can be found. */
function findEnd(bytes: Buffer, file: string): number {
  const start = bytes.length >= 4 ? bytes.readUInt32LE(0) : 0;
  if (start !== signatures.local && start !== signatures.end)
    throw new CmsadmError('not-a-zip', 'The file is not a zip archive.', { file, remedy: 'Give the path of the zip.' });
  const end = bytes.length - sizes.end;
  if (end < 0 || bytes.readUInt32LE(end) !== signatures.end || bytes.readUInt16LE(end + 20) !== 0)
    throw new CmsadmError('zip-truncated', 'The zip archive is cut short, or something was added at its end.', {
      file,
      remedy,
    });
  const wide = bytes.subarray(Math.max(0, end - sizes.locator64), end);
  for (let i = 0; i + 4 <= wide.length; i++)
    if (wide.readUInt32LE(i) === signatures.locator64)
      throw new CmsadmError('zip-unsupported', 'The zip archive is in the ZIP64 form, which is not used here.', {
        file,
        remedy,
      });
  const onOneDisk = bytes.readUInt32LE(end + 4) === 0 && bytes.readUInt16LE(end + 8) === bytes.readUInt16LE(end + 10);
  if (!onOneDisk || bytes.readUInt32LE(end + 16) + bytes.readUInt32LE(end + 12) !== end) throw damaged(file);
  return end;
}

/** Unzip programs differ in which of the two headers they believe. */
function agrees(bytes: Buffer, local: number, end: number, rawName: Buffer, header: ZipHeader): boolean {
  if (local + sizes.local > end || bytes.readUInt32LE(local) !== signatures.local) return false;
  const nameEnd = local + sizes.local + bytes.readUInt16LE(local + 26);
  const data = nameEnd + bytes.readUInt16LE(local + 28);
  return (
    bytes.readUInt16LE(local + 8) === header.method &&
    bytes.subarray(local + sizes.local, nameEnd).equals(rawName) &&
    data + header.storedSize <= end
  );
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
