// Zip files made byte by byte, so that they can be wrong in any way.
import { crc32 } from 'node:zlib';

export type RawEntry = {
  readonly name: string | Buffer;
  readonly data?: Buffer;
  readonly method?: number;
  /** The size that the headers tell. */
  readonly size?: number;
  readonly crc?: number;
  readonly flags?: number;
  /** Unix mode with its file type. */
  readonly mode?: number;
  /** The name in the local header, if another. */
  readonly localName?: string;
};

export function rawZip(entries: readonly RawEntry[], after = Buffer.alloc(0)): Buffer {
  const local: Buffer[] = [];
  const central: Buffer[] = [];
  let offset = 0;
  for (const entry of entries) {
    const { data = Buffer.from('content'), method = 0, flags = 0, mode = 0o100644 } = entry;
    const name = Buffer.from(entry.name);
    const localName = entry.localName === undefined ? name : Buffer.from(entry.localName);
    const facts = Buffer.alloc(22);
    facts.writeUInt16LE(20, 0);
    facts.writeUInt16LE(flags, 2);
    facts.writeUInt16LE(method, 4);
    facts.writeUInt32LE(entry.crc ?? crc32(data), 10);
    facts.writeUInt32LE(data.length, 14);
    facts.writeUInt32LE(entry.size ?? data.length, 18);
    const localTail = Buffer.alloc(4);
    localTail.writeUInt16LE(localName.length, 0);
    const block = Buffer.concat([Buffer.from('PK\x03\x04'), facts, localTail, localName, data]);
    const centralTail = Buffer.alloc(18);
    centralTail.writeUInt16LE(name.length, 0);
    centralTail.writeUInt32LE(mode * 0x10000, 10);
    centralTail.writeUInt32LE(offset, 14);
    central.push(Buffer.from('PK\x01\x02\x14\x03'), facts, centralTail, name);
    local.push(block);
    offset += block.length;
  }
  const directory = Buffer.concat(central);
  const end = Buffer.alloc(18);
  end.writeUInt16LE(entries.length, 4);
  end.writeUInt16LE(entries.length, 6);
  end.writeUInt32LE(directory.length, 8);
  end.writeUInt32LE(offset, 12);
  return Buffer.concat([...local, directory, Buffer.from('PK\x05\x06'), end, after]);
}
