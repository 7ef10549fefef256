import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { expect, test } from 'vitest';
import { heldOn } from '../../src/backup/target.ts';
import { tempFolder } from '../packages/temp-folder.ts';

const root = { prefix: tempFolder(), ownersCount: false };
mkdirSync(join(root.prefix, 'dev'));
const device = (name: string, content: string | Buffer) => {
  writeFileSync(join(root.prefix, 'dev', name), content);
  truncateSync(join(root.prefix, 'dev', name), 20_480);
  return { kind: 'device', path: `/dev/${name}`, isTape: false } as const;
};

test('a device that holds something else takes no backup', async () => {
  await expect(heldOn(root, device('foreign', 'records of somebody'))).rejects.toMatchObject({
    code: 'path-unusable',
    message: '/dev/foreign holds something else.',
  });
});

test('an empty device holds nothing', async () => {
  expect(await heldOn(root, device('empty', ''))).toBe('nothing');
});

test('what is compressed and no backup cannot be told from the beginning of one', async () => {
  expect(await heldOn(root, device('compressed', gzipSync('records of somebody')))).toBe('unknown');
});

test('a drive that cannot be rewound is not read', async () => {
  const drive = { kind: 'device', path: '/dev/zero', isTape: false } as const;
  expect(await heldOn({ ...root, prefix: '/' }, drive)).toBe('unknown');
});
