import * as fs from 'node:fs';
import { expect, test } from 'vitest';
import type { Root } from '../../src/host/root.ts';
import { clearAlarms, raiseAlarm, readAlarms } from '../../src/pair/alarms.ts';
import { tempFolder } from '../packages/temp-folder.ts';

const folder = tempFolder();

test.each([
  { seen: 1, left: ['stays', 'came meanwhile'] },
  { seen: 2, left: ['came meanwhile'] },
])('an alarm of another process stays that comes while $seen of 2 are cleared', ({ seen, left }) => {
  const root: Root = { prefix: `${folder}/${seen}`, ownersCount: false };
  fs.mkdirSync(root.prefix);
  raiseAlarm(root, 'is over', 1);
  raiseAlarm(root, 'stays', 2);
  let came = false;
  const meanwhile = (): void => {
    if (came) return;
    came = true;
    raiseAlarm(root, 'came meanwhile', 3);
  };
  const disk = {
    ...fs,
    // The disk takes its time.
    fsyncSync: (handle: number): void => {
      fs.fsyncSync(handle);
      meanwhile();
    },
    unlinkSync: (path: string): void => {
      if (path.endsWith('/alarms.jsonl')) meanwhile();
      fs.unlinkSync(path);
    },
  };
  clearAlarms({ ...root, disk }, readAlarms(root).slice(0, seen));
  expect(readAlarms(root).map(({ text }) => text)).toEqual(left);
  expect(came).toBe(true);
});

test('an alarm is readable after one that a full disk took half of', () => {
  const root: Root = { prefix: `${folder}/full`, ownersCount: false };
  fs.mkdirSync(root.prefix);
  raiseAlarm(root, 'first', 1);
  const disk = {
    ...fs,
    writeFileSync: (handle: number, data: Uint8Array): void => {
      fs.writeFileSync(handle, data.subarray(0, data.length / 2));
      throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC', syscall: 'write' });
    },
  };
  expect(() => raiseAlarm({ ...root, disk }, 'second', 2)).toThrow('ENOSPC');
  raiseAlarm(root, 'third', 3);
  raiseAlarm(root, 'fourth', 4);
  expect(readAlarms(root).map(({ text }) => text)).toEqual(['first', 'third', 'fourth']);
});
