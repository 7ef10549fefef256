import { execFileSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { crc32, deflateRawSync } from 'node:zlib';
import { describe, expect, it } from 'vitest';
import { readZip } from '../../src/packages/zip.ts';
import { tempFolder } from './temp-folder.ts';
import { type RawEntry, rawZip } from './zip-bytes.ts';

const folder = tempFolder();
let files = 0;

function written(bytes: Buffer): string {
  files += 1;
  const path = join(folder, `${files}.zip`);
  writeFileSync(path, bytes);
  return path;
}

function deflated(name: string, content: Buffer, told: Partial<RawEntry> = {}): RawEntry {
  return { name, data: deflateRawSync(content), method: 8, size: content.length, ...told };
}

const good = rawZip([{ name: 'a' }, { name: 'folder/', data: Buffer.alloc(0), mode: 0o040755 }, { name: 'folder/b' }]);

describe('readZip', () => {
  it('lists the files and gives their content', async () => {
    const zip = await readZip(written(good));
    expect(zip.names).toEqual(['a', 'folder/b']);
    expect(zip.read('folder/b').toString()).toBe('content');
  });

  it('reads deflated content', async () => {
    const content = Buffer.from('to be or not to be '.repeat(100));
    const zip = await readZip(written(rawZip([deflated('a', content, { crc: crc32(content) })])));
    expect(zip.read('a')).toEqual(content);
  });

  it('refuses a file that grows beyond the size asked for', async () => {
    const zip = await readZip(written(good));
    expect(() => zip.read('a', 3)).toThrowError(expect.objectContaining({ code: 'zip-too-large' }));
  });

  it('says that an entry is missing', async () => {
    const zip = await readZip(written(good));
    expect(() => zip.read('folder/')).toThrowError(expect.objectContaining({ code: 'zip-entry-missing' }));
    expect(() => zip.read('__proto__')).toThrowError(expect.objectContaining({ code: 'zip-entry-missing' }));
  });

  const hostile: Record<string, [code: string, entries: RawEntry[]]> = {
    'a name that climbs out': ['zip-unsafe', [{ name: '../../etc/passwd' }]],
    'a name that climbs out in its middle': ['zip-unsafe', [{ name: 'a/../../b' }]],
    'an absolute name': ['zip-unsafe', [{ name: '/etc/passwd' }]],
    'a drive letter': ['zip-unsafe', [{ name: 'C:evil' }]],
    'a backslash': ['zip-unsafe', [{ name: '..\\evil' }]],
    'a NUL in a name': ['zip-unsafe', [{ name: 'install\0.txt' }]],
    'an escape sequence in a name': ['zip-unsafe', [{ name: 'a\x1b[2J' }]],
    'a name written backwards': ['zip-unsafe', [{ name: 'a\u202egpj.sh' }]],
    'a name that is not UTF-8': ['zip-unsafe', [{ name: Buffer.from([0x61, 0xff]) }]],
    'an empty name': ['zip-unsafe', [{ name: '' }]],
    'an empty part of a name': ['zip-unsafe', [{ name: 'a//b' }]],
    'the same name twice': ['zip-unsafe', [{ name: 'install' }, { name: 'install' }]],
    'the same name in other letters': ['zip-unsafe', [{ name: 'install' }, { name: 'INSTALL' }]],
    'a file and a folder of one name': [
      'zip-unsafe',
      [{ name: 'a' }, { name: 'a/', data: Buffer.alloc(0), mode: 0o040755 }],
    ],
    'a symbolic link': ['zip-unsafe', [{ name: 'a', data: Buffer.from('/etc/passwd'), mode: 0o120777 }]],
    'a device': ['zip-unsafe', [{ name: 'a', mode: 0o020666 }]],
    'a pipe': ['zip-unsafe', [{ name: 'a', mode: 0o010666 }]],
    'a folder that says it is a file': ['zip-unsafe', [{ name: 'a', mode: 0o040755 }]],
    'a folder with content': ['zip-damaged', [{ name: 'a/', mode: 0o040755 }]],
    'an encrypted entry': ['zip-encrypted', [{ name: 'a', flags: 1 }]],
    'an unknown compression': ['zip-unsupported', [{ name: 'a', method: 12 }]],
    'a stored entry with another size': ['zip-damaged', [{ name: 'a', size: 3 }]],
    'another name in the local header': ['zip-damaged', [{ name: 'a', localName: 'b' }]],
    'more content than any of its kind': ['zip-too-large', [deflated('a', Buffer.from('x'), { size: 0xfffffffe })]],
    'more entries than any of its kind': ['zip-too-large', Array.from({ length: 101 }, (_, i) => ({ name: `${i}` }))],
  };
  it.each(Object.entries(hostile))('refuses %s before reading', async (_, [code, entries]) => {
    const path = written(rawZip(entries));
    await expect(readZip(path)).rejects.toMatchObject({ code, file: path, remedy: expect.any(String) });
  });

  it('shows hostile names without their control characters', async () => {
    await expect(readZip(written(rawZip([{ name: 'a\x1b[2J\u202e' }])))).rejects.toThrow('"a?[2J?"');
  });

  const lying: Record<string, RawEntry> = {
    'a bomb that tells a small size': deflated('a', Buffer.alloc(50_000_000), { size: 100 }),
    'a bomb that tells no size': deflated('a', Buffer.alloc(50_000_000), { size: 0 }),
    'content shorter than told': deflated('a', Buffer.from('short'), { size: 100 }),
    'content that is no deflate stream': { name: 'a', method: 8, data: Buffer.from('\xff\xff\xff\xff'), size: 10 },
    'stored content with a wrong checksum': { name: 'a', crc: 1 },
    'deflated content with a wrong checksum': deflated('a', Buffer.from('content'), { crc: 1 }),
  };
  it.each(Object.entries(lying))('refuses %s when reading', async (_, entry) => {
    const zip = await readZip(written(rawZip([entry])));
    expect(() => zip.read('a')).toThrowError(expect.objectContaining({ code: 'zip-damaged' }));
  });

  it('refuses a zip cut off anywhere', async () => {
    for (let length = 0; length < good.length; length++) {
      const code = length < 4 ? 'not-a-zip' : 'zip-truncated';
      await expect(readZip(written(good.subarray(0, length)))).rejects.toMatchObject({ code });
    }
  });

  it('gives content or a foreseen error, whichever byte is changed', async () => {
    for (let at = 0; at < good.length; at++) {
      const changed = Buffer.from(good);
      changed[at] = 255 - (changed[at] ?? 0);
      const outcome = await readZip(written(changed)).then(
        (zip) => zip.names.map((name) => attempt(() => zip.read(name))),
        (error: unknown) => [error],
      );
      for (const result of outcome)
        expect(Buffer.isBuffer(result) || result, `byte ${at}`).toSatisfy(
          (it) => it === true || (it instanceof Error && it.name === 'CmsadmError'),
        );
    }
  });

  it('refuses what follows the end, and what precedes the start', async () => {
    await expect(readZip(written(Buffer.concat([good, Buffer.from('x')])))).rejects.toMatchObject({
      code: 'zip-truncated',
    });
    await expect(readZip(written(Buffer.concat([good, good])))).rejects.toMatchObject({ code: 'zip-damaged' });
    await expect(readZip(written(Buffer.concat([Buffer.from('#!/bin/sh\n'), good])))).rejects.toMatchObject({
      code: 'not-a-zip',
    });
  });

  it('refuses entries that its end record does not count', async () => {
    const hiding = Buffer.from(good);
    for (const at of [8, 10]) hiding.writeUInt16LE(2, hiding.length - 22 + at);
    await expect(readZip(written(hiding))).rejects.toMatchObject({ code: 'zip-damaged' });
  });

  it('refuses the ZIP64 form', async () => {
    const wide = rawZip([{ name: 'PK\x06\x07aaaaaaaa' }]);
    await expect(readZip(written(wide))).rejects.toMatchObject({ code: 'zip-unsupported' });
  });

  it('refuses what is no zip', async () => {
    await expect(readZip(written(Buffer.from('no zip at all, but text long enough')))).rejects.toMatchObject({
      code: 'not-a-zip',
    });
    await expect(readZip(written(Buffer.alloc(0)))).rejects.toMatchObject({ code: 'not-a-zip' });
  });

  it('refuses what cannot be read, without waiting for it', async () => {
    mkdirSync(join(folder, 'folder'));
    execFileSync('mkfifo', [join(folder, 'pipe')]);
    for (const name of ['absent', 'folder', 'pipe'])
      await expect(readZip(join(folder, name))).rejects.toMatchObject({
        code: 'zip-unreadable',
        file: join(folder, name),
      });
  });

  it('gives what it read once though the file is gone, and refuses to read on in one that was changed', async () => {
    const large = { name: 'large', data: Buffer.alloc(300_000, 1) };
    const path = written(rawZip([{ name: 'first' }, large, { name: 'last', data: Buffer.alloc(300_000, 2) }]));
    const zip = await readZip(path);
    expect(zip.read('large')).toEqual(large.data);
    writeFileSync(path, 'another file');
    expect(zip.read('large')).toEqual(large.data);
    expect(() => zip.read('last')).toThrowError(
      expect.objectContaining({ code: 'zip-unreadable', message: 'The file was changed while it was read.' }),
    );
    rmSync(path);
    expect(() => zip.read('last')).toThrowError(expect.objectContaining({ code: 'zip-unreadable', file: path }));
  });

  it('refuses a file larger than its limits allow', async () => {
    const path = written(rawZip([{ name: 'a', data: Buffer.alloc(2_000_000) }]));
    await expect(readZip(path, { maxEntries: 1, maxTotal: 100 })).rejects.toMatchObject({ code: 'zip-too-large' });
  });
});

function attempt(read: () => Buffer): unknown {
  try {
    return read();
  } catch (error) {
    return error;
  }
}
