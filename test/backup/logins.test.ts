import { existsSync, mkdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { blockLogins, loginsBlockedBy, unblockLogins } from '../../src/backup/logins.ts';
import type { Root } from '../../src/host/root.ts';
import { tempFolder } from '../packages/temp-folder.ts';

const folder = tempFolder();
let count = 0;
let root: Root;
const file = (): string => join(root.prefix, 'run/nologin');
beforeEach(() => {
  count += 1;
  root = { prefix: join(folder, String(count)), ownersCount: false };
  mkdirSync(join(root.prefix, 'run'), { recursive: true });
});

describe('the block of log-ins', () => {
  test('is there while the backup runs, says why, and goes with it', () => {
    expect(blockLogins(root, 'CMSADM-1-2')).toBe(true);
    expect(readFileSync(file(), 'utf8')).toMatch(/^The backup CMSADM-1-2 is running on this server\..*ended\.\n$/);
    expect(loginsBlockedBy(root)).toBe('a backup');
    expect(unblockLogins(root)).toBe(true);
    expect(existsSync(file())).toBe(false);
    expect(loginsBlockedBy(root)).toBe('nobody');
    expect(unblockLogins(root)).toBe(false);
  });

  test('of somebody else is neither replaced nor removed', () => {
    writeFileSync(file(), 'System is going down.\n');
    expect(loginsBlockedBy(root)).toBe('somebody else');
    expect(blockLogins(root, 'CMSADM-1-2')).toBe(false);
    expect(unblockLogins(root)).toBe(false);
    expect(readFileSync(file(), 'utf8')).toBe('System is going down.\n');
  });

  test.each([
    [
      'put another file in its place',
      () => {
        writeFileSync(`${file()}.new`, 'theirs\n');
        renameSync(`${file()}.new`, file());
      },
    ],
    ['wrote into it', () => writeFileSync(file(), 'theirs\n')],
  ])('stays where somebody %s meanwhile', (_, act) => {
    blockLogins(root, 'CMSADM-1-2');
    act();
    expect(unblockLogins(root)).toBe(false);
    expect(readFileSync(file(), 'utf8')).toBe('theirs\n');
  });

  test('that somebody took away is no fault, and the next backup blocks again', () => {
    blockLogins(root, 'CMSADM-1-2');
    rmSync(file());
    expect(unblockLogins(root)).toBe(false);
    expect(blockLogins(root, 'CMSADM-1-3')).toBe(true);
    // What a dead backup left is not somebody else's.
    expect(blockLogins(root, 'CMSADM-1-4')).toBe(true);
    expect(unblockLogins(root)).toBe(true);
  });
});
