import { mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { inFolder, placeOf } from '../../src/host/held-folder.ts';
import { type Root, readText } from '../../src/host/root.ts';
import { removeIfThere, writeNew } from '../../src/host/writing.ts';

let prefix: string;
let root: Root;
beforeEach(() => {
  prefix = mkdtempSync(join(tmpdir(), 'cmsadm-test-'));
  root = { prefix, ownersCount: false };
  mkdirSync(join(prefix, 'srv/data'), { recursive: true });
});
afterEach(() => rmSync(prefix, { recursive: true }));

const own = { mode: 0o600, owner: 'root', group: 'root' };

describe('where a folder really is', () => {
  test('is its own path where no link is on the way', () => {
    expect(placeOf(root, '/srv/data')?.real).toBe('/srv/data');
  });

  test('is told through links that stay inside', () => {
    mkdirSync(join(prefix, 'etc'));
    symlinkSync('../srv/data', join(prefix, 'etc/linked'));
    expect(placeOf(root, '/etc/linked')?.real).toBe('/srv/data');
  });

  test('is refused where a link leads out', () => {
    symlinkSync(tmpdir(), join(prefix, 'out'));
    expect(() => placeOf(root, '/out')).toThrow(/leads out/);
  });

  test('of one that has to be made is told by the part that is there', () => {
    symlinkSync('srv', join(prefix, 'linked'));
    expect(placeOf(root, '/linked/none/below')).toEqual({ real: '/srv/none/below' });
  });

  test('is refused where a link leads nowhere', () => {
    symlinkSync('none', join(prefix, 'srv/linked'));
    expect(() => placeOf(root, '/srv/linked/below')).toThrow(/link to a folder that is not there/);
  });
});

describe('work in a folder that is held open', () => {
  test('goes on in that folder when a link takes its name meanwhile', async () => {
    mkdirSync(join(prefix, 'trap'));
    await inFolder(root, '/srv/data', placeOf(root, '/srv/data')?.id, (held) => {
      renameSync(join(prefix, 'srv/data'), join(prefix, 'srv/moved'));
      symlinkSync('../trap', join(prefix, 'srv/data'));
      writeNew(held, '/new', 'text', own);
    });
    expect(readFileSync(join(prefix, 'srv/moved/new'), 'latin1')).toBe('text');
    expect(readText(root, '/trap/new')).toBeUndefined();
  });

  test.each([
    ['a link to another folder', () => symlinkSync('../trap', join(prefix, 'srv/data'))],
    ['another folder', () => mkdirSync(join(prefix, 'srv/data'))],
    ['a file', () => writeFileSync(join(prefix, 'srv/data'), '')],
  ])('is refused where %s has its name', async (_what, replace) => {
    mkdirSync(join(prefix, 'trap'));
    const id = placeOf(root, '/srv/data')?.id;
    renameSync(join(prefix, 'srv/data'), join(prefix, 'srv/moved'));
    replace();
    await expect(inFolder(root, '/srv/data', id, () => 'worked')).rejects.toMatchObject({
      code: 'folder-moved',
      file: '/srv/data',
    });
  });

  test('tells an error by the path that the operator knows', async () => {
    writeFileSync(join(prefix, 'srv/data/there'), '');
    const work = inFolder(root, '/srv/data', undefined, (held) => writeNew(held, '/there', 'text', own));
    await expect(work).rejects.toMatchObject({
      path: '/srv/data/there',
      message: expect.stringContaining("'/srv/data/there'"),
    });
  });

  test('reads and removes there as well', async () => {
    writeFileSync(join(prefix, 'srv/data/there'), 'text');
    const text = await inFolder(root, '/srv/data', undefined, (held) => {
      const found = readText(held, '/there');
      removeIfThere(held, '/there');
      return found;
    });
    expect(text).toBe('text');
    expect(readText(root, '/srv/data/there')).toBeUndefined();
  });
});
