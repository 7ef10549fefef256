import { chmodSync, mkdtempSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cloneAttributes } from '../../src/host/clone-attributes.ts';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'cmsadm-test-'));
});
afterAll(() => rmSync(folder, { recursive: true }));

const modes = [0o600, 0o640, 0o755, 0o444];

test('gives each of many files the attributes of its own pattern, content untouched', async () => {
  const pairs = modes.map((mode) => {
    const from = join(folder, `from ${mode}\n"x"`);
    const to = join(folder, `to ${mode}`);
    writeFileSync(from, 'pattern');
    writeFileSync(to, 'kept');
    chmodSync(from, mode);
    utimesSync(from, 1000, 1000 + mode);
    return { from, to, mode };
  });
  await Promise.all(pairs.map(({ from, to }) => cloneAttributes(from, to)));
  for (const { to, mode } of pairs) {
    expect(statSync(to).mode & 0o7777).toBe(mode);
    expect(statSync(to).mtimeMs).toBe((1000 + mode) * 1000);
    expect(statSync(to).size).toBe(4);
  }
});

test('says what could not be done', async () => {
  const gone = cloneAttributes(join(folder, 'none'), join(folder, 'to'));
  await expect(gone).rejects.toMatchObject({
    code: 'attributes-lost',
    details: [expect.stringContaining('none')],
  });
});
