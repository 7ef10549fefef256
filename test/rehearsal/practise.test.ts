import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { beforeAll, expect, test, vi } from 'vitest';
import { lockOwner, takeLock } from '../../src/change/lock.ts';
import { exitCodes } from '../../src/errors.ts';
import { startAgents } from '../../src/rehearsal/agents.ts';
import { refuseForeignFolder } from '../../src/rehearsal/pair-folder.ts';
import { practise } from '../../src/rehearsal/practise.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { type NewPair, pairMaker } from './pair.ts';

const folder = tempFolder();
const program = join(folder, 'program');
let make: NewPair;
beforeAll(async () => {
  make = await pairMaker(folder);
});

test('a pair that another process has open is refused before anything is told', async () => {
  const pair = make('open');
  const stop = await startAgents(dirname(pair.cms1), program);
  const said: string[] = [];
  try {
    await expect(practise(program, dirname(pair.cms1), (text) => void said.push(text))).rejects.toMatchObject({
      code: 'practice-open',
      exitCode: exitCodes.refused,
      remedy: expect.stringContaining(`--root ${pair.cms1}`),
    });
  } finally {
    await stop();
  }
  expect(said).toEqual([]);
});

test('a folder that holds something else is refused, and left as it is', async () => {
  const foreign = join(folder, 'foreign');
  mkdirSync(join(foreign, 'cms1'), { recursive: true });
  writeFileSync(join(foreign, 'letter'), 'mine\n');
  for (const place of [foreign, join(foreign, 'letter')])
    await expect(practise(program, place, () => {})).rejects.toMatchObject({
      code: 'folder-unusable',
      exitCode: exitCodes.refused,
    });
  expect(readdirSync(foreign)).toEqual(['cms1', 'letter']);
  expect(readFileSync(join(foreign, 'letter'), 'utf8')).toBe('mine\n');
  mkdirSync(join(folder, 'empty'));
  for (const good of ['empty', 'missing', 'pattern'])
    expect(() => refuseForeignFolder(join(folder, good))).not.toThrow();
});

test('the lock of another living process is respected, that of a dead one is not', async () => {
  const pair = make('locked');
  const { host } = pair.context(pair.cms1);
  const contender = fileURLToPath(new URL('../change/lock-contender.ts', import.meta.url));
  const other = spawn(process.execPath, ['--import', 'tsx', contender, pair.cms1, '0'], { stdio: 'ignore' });
  const claim = { operation: 'set up', operator: 'eve', startedOn: 'cms1.example.com' };
  try {
    await vi.waitFor(() => expect(existsSync(join(pair.cms1, `holds.${other.pid}`))).toBe(true), 20_000);
    expect(() => takeLock(host, claim)).toThrow('ops is changing this pair: reverse roles');
    await host.system.endProcess(other.pid ?? 0);
  } finally {
    other.kill('SIGKILL');
  }
  takeLock(host, claim);
  expect(lockOwner(host)).toMatchObject({ operator: 'eve', pid: process.pid });
});
