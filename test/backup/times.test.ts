import * as fs from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, it } from 'vitest';
import { applyTimes } from '../../src/backup/attributes.ts';
import { keepingTime } from '../../src/backup/folders.ts';

let folder = '';
beforeEach(() => {
  folder = fs.mkdtempSync(join(tmpdir(), 'cmsadm-test-'));
});
afterEach(() => fs.rmSync(folder, { recursive: true }));

const in1965 = -146_966_400;
const secondsOf = (path: string): number => fs.lstatSync(path).mtimeMs / 1000;

it('times before 1970 are given back', () => {
  fs.writeFileSync(join(folder, 'old'), '');
  applyTimes(folder, `${in1965}:644:0:0 old\0`, () => true);
  expect(secondsOf(join(folder, 'old'))).toBe(in1965);
});

it('a folder of before 1970 keeps its time whatever is done in it', () => {
  fs.utimesSync(folder, String(in1965), String(in1965));
  keepingTime(folder, () => fs.writeFileSync(join(folder, 'new'), ''));
  expect(secondsOf(folder)).toBe(in1965);
});
