import { chmodSync, existsSync, mkdtempSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runHook } from '../../src/features/hooks.ts';
import { tempFolder } from '../packages/temp-folder.ts';

const folder = tempFolder();

function program(text: string): { file: string; cwd: string } {
  const cwd = mkdtempSync(join(folder, 'hook-'));
  const file = join(cwd, 'hook');
  writeFileSync(file, `#!/bin/sh\n${text}\n`);
  chmodSync(file, 0o755);
  return { file, cwd };
}

test('runs in its folder, with its arguments, no input and nothing of our environment', async () => {
  process.env['CMSADM_TEST_SECRET'] = 'secret';
  const { file, cwd } = program('{ env; echo "args=$*"; echo "input=$(cat)"; } > seen');
  expect(await runHook(file, ['install', '1.0.0'], cwd, 10)).toBeUndefined();
  const seen = readFileSync(join(cwd, 'seen'), 'utf8').trim().split('\n');
  const set = seen
    .map((line) => line.split('=')[0])
    .filter((name) => !['PWD', 'OLDPWD', 'SHLVL', '_'].includes(name ?? ''));
  expect(set.sort()).toEqual(['LC_ALL', 'PATH', 'args', 'input']);
  expect(seen).toContain('args=install 1.0.0');
  expect(seen).toContain('input=');
});

test('tells the exit code and what it said last', async () => {
  const { file, cwd } = program('echo one; echo two >&2; exit 3');
  expect(await runHook(file, [], cwd, 10)).toBe('exit code 3\none\ntwo');
  expect(await runHook(join(cwd, 'absent'), [], cwd, 10)).toContain('ENOENT');
});

test('ends it after its time, with all that it started, whatever holds its output', async () => {
  const { file, cwd } = program('trap "" TERM; (sleep 2; echo late > after) & sleep 60');
  const began = Date.now();
  expect(await runHook(file, [], cwd, 1)).toBe('it took longer than 1 s and was ended');
  expect(Date.now() - began).toBeLessThan(2_000);
  await new Promise((resolve) => setTimeout(resolve, 1_500));
  expect(existsSync(join(cwd, 'after'))).toBe(false);
});

test('does not wait for what it leaves behind, and ends that too', async () => {
  const { file, cwd } = program('(sleep 1; echo late > after) & exit 0');
  const began = Date.now();
  expect(await runHook(file, [], cwd, 30)).toBeUndefined();
  expect(Date.now() - began).toBeLessThan(900);
  await new Promise((resolve) => setTimeout(resolve, 1_300));
  expect(existsSync(join(cwd, 'after'))).toBe(false);
});

test('takes any amount of output', async () => {
  const { file, cwd } = program('yes | head -c 20000000; echo; echo the end; exit 1');
  const why = await runHook(file, [], cwd, 30);
  expect(why?.length).toBeLessThan(9_000);
  expect(why).toMatch(/the end$/);
});
