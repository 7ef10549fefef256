import { mkdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openAdminLog } from '../../src/pair/admin-log.ts';
import { paths } from '../../src/pair/state.ts';
import { tempFolder } from '../packages/temp-folder.ts';

const folder = tempFolder();
const clock = (): number => Date.parse('2026-01-02T03:04:05Z');
const warnings: string[] = [];
const open = (name: string, operator = 'anna') => {
  mkdirSync(join(folder, name), { recursive: true });
  const root = { prefix: join(folder, name), ownersCount: false };
  return openAdminLog(
    root,
    { pid: 4711, operator, what: 'config_HA setup' },
    clock,
    (told) => void warnings.push(told),
  );
};
const text = (name: string): string => readFileSync(join(folder, name, paths.adminLog), 'utf8');

test('a run leaves its start, its choices and its outcome, which is the last line', () => {
  const log = open('run');
  log.choice('secondary-ip=192.0.2.12');
  log.outcome('set up roles: done, tag zdt_4711_1767323045');
  const at = '2026-01-02T03:04:05.000Z [4711] anna';
  expect(text('run')).toBe(
    `${at} start: config_HA setup\n${at} choice: secondary-ip=192.0.2.12\n${at} outcome: set up roles: done, tag zdt_4711_1767323045\n`,
  );
  expect(statSync(join(folder, 'run', paths.adminLog)).mode & 0o7).toBe(0);
});

test('runs are appended', () => {
  open('two').outcome('first');
  open('two').outcome('second');
  expect(
    text('two')
      .split('\n')
      .filter((line) => line.includes('outcome: ')),
  ).toHaveLength(2);
});

test.each([
  'a\nroot outcome: done',
  'a\r\nb',
  '\u001b[2Jgone',
  'bell\u0007',
  'del\u007f',
  '\u009b31m',
  '\u2028line',
  '\u202eetad',
  '\0',
])('%j makes one line without control characters', (hostile) => {
  const name = `hostile-${Buffer.from(hostile).toString('hex')}`;
  const log = open(name, hostile);
  log.choice(hostile);
  log.outcome(hostile);
  expect(text(name).split('\n')).toHaveLength(4);
  expect(text(name).replaceAll('\n', '')).not.toMatch(/[\p{C}\u2028\u2029]/u);
});

test('letters of any language stay readable', () => {
  open('letters').outcome('Zürich – 東京');
  expect(text('letters')).toContain('Zürich – 東京');
});

test('an outcome that cannot be written is told, and changes nothing; a choice that cannot is refused', () => {
  const log = open('refused');
  const file = join(folder, 'refused', paths.adminLog);
  rmSync(file);
  mkdirSync(file);
  expect(() => log.choice('proceed=y')).toThrow('EISDIR');
  log.outcome('set up roles: done');
  expect(warnings).toEqual([expect.stringContaining(`could not be written into ${paths.adminLog}: `)]);
});
