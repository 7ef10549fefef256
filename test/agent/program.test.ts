import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, expect, it, vi } from 'vitest';
import { runProgram } from '../../src/agent/program.ts';
import { tempFolder } from '../packages/temp-folder.ts';

const folder = tempFolder();
afterEach(() => void vi.unstubAllEnvs());

it('runs a program of a data set with nothing of our environment', async () => {
  vi.stubEnv('TAR_OPTIONS', '--exclude=*');
  const output = join(folder, 'environment');
  expect(await runProgram(['env'], { seconds: 10, output })).toMatchObject({ exitCode: 0 });
  expect(readFileSync(output, 'utf8').trim().split('\n').sort()).toEqual([
    'LC_ALL=C.UTF-8',
    'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  ]);
});
