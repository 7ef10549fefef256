import { mkdirSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeArgv } from '../../src/backup/archiver.ts';
import type { Compression } from '../../src/backup/formats.ts';
import { verifyArchive } from '../../src/backup/read-archive.ts';
import { type Written, writeArchive } from '../../src/backup/write-archive.ts';
import { tempFolder } from '../packages/temp-folder.ts';

const folder = tempFolder();
const saved = join(folder, 'saved');
mkdirSync(saved);
for (const name of ['one.conf', 'two', 'three']) writeFileSync(join(saved, name), name);

let count = 0;
/** Archives these names of the folder. @returns the archive as well */
async function archive(
  names: readonly string[],
  more: readonly string[],
  to: { readonly compression: Compression; readonly isDevice: boolean },
): Promise<{ readonly file: string; readonly written: Promise<Written> }> {
  count += 1;
  const [file, list] = [join(folder, `archive${count}`), join(folder, `names${count}`)];
  writeFileSync(list, names.map((name) => `./${name}\0`).join(''));
  const output = await open(file, 'ax+');
  const facts = {
    ...({ version: 1, name: 'CMSADM-1-260101000000-cms1', kind: 'filesystem', format: 'tar' } as const),
    ...{ compression: to.compression, server: 'cms1', profile: 'cms', release: '21', load: '1' },
    ...{ made: '2026-01-01T00:00:00.000Z', program: '0.1.0', include: ['/'], exclude: [] },
  };
  const [tar = '', ...args] = makeArgv.tar;
  const written = writeArchive({
    ...{ facts, argv: [tar, ...more, ...args], folder: saved, names: { file: list, count: names.length } },
    ...{ extras: [], spool: join(folder, `spool${count}`), output, isDevice: to.isDevice },
    ...{ stop: { requested: false }, progress: () => {}, started: () => {} },
  }).finally(() => output.close());
  return { file, written };
}

const ways = [
  { compression: 'none', isDevice: false },
  { compression: 'gzip', isDevice: false },
  { compression: 'none', isDevice: true },
] as const;

test.each(ways)('what the archiver leaves out and does not tell is no whole archive: %o', async (way) => {
  const { file, written } = await archive(['one.conf', 'two', 'three'], ['--exclude=*.conf'], way);
  await expect(written).rejects.toMatchObject({
    code: 'archiver-failed',
    message: 'tar left out 1 file and did not say which.',
  });
  await expect(verifyArchive({ file, isTape: false }, { stop: { requested: false } })).rejects.toMatchObject({
    code: 'archive-damaged',
  });
});

test.each(ways)('a file that went since it was listed is told, and the archive is whole: %o', async (way) => {
  const { file, written } = await archive(['one.conf', 'gone', 'two'], [], way);
  expect((await written).meanwhile).toEqual([expect.stringContaining('./gone')]);
  expect(await verifyArchive({ file, isTape: false }, { stop: { requested: false } })).toMatchObject({ damaged: [] });
});
