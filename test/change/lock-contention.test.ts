// The lock of one server under contention: real processes take it, give it back, and die while they hold it.
import { execFile, spawn } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import * as v from 'valibot';
import { expect, onTestFinished, test } from 'vitest';
import { takeLock } from '../../src/change/lock.ts';
import { realSystem } from '../../src/host/real-system.ts';
import { tempFolder } from '../packages/temp-folder.ts';

const folder = tempFolder();
const contender = fileURLToPath(new URL('lock-contender.ts', import.meta.url));
const repository = fileURLToPath(new URL('../..', import.meta.url));
const count = v.number();
const seenSchema = v.strictObject({
  ...{ taken: count, refused: count, twice: count, stolen: count, died: count, stuck: count },
  faults: v.array(v.string()),
});

async function contend(prefix: string): Promise<v.InferOutput<typeof seenSchema>> {
  const argv = ['--import', 'tsx', contender, prefix, '600'];
  const { stdout } = await promisify(execFile)(process.execPath, argv, { cwd: repository });
  return v.parse(seenSchema, JSON.parse(stdout));
}

test.each([
  { name: 'a dead owner’s lock', left: JSON.stringify({ pid: 4194304, processStart: '1', bootId: 'boot-0' }) },
  { name: 'a lock that was torn while it was written', left: '{"operation":"set' },
])('processes that start at $name, and die now and then, never hold it at once', async ({ name, left }) => {
  const prefix = join(folder, name.slice(0, 6).trim().replaceAll(' ', '-'));
  mkdirSync(join(prefix, 'run/cmsadm'), { recursive: true });
  writeFileSync(join(prefix, 'run/cmsadm/lock'), left);
  const all: v.InferOutput<typeof seenSchema>[] = [];
  const sum = (of: 'taken' | 'refused' | 'twice' | 'stolen' | 'died' | 'stuck'): number =>
    all.reduce((total, one) => total + one[of], 0);
  // A busy machine may give them little time: again, until they met and died often enough.
  for (let round = 0; round < 10 && (sum('died') < 2 || sum('refused') === 0); round += 1)
    all.push(...(await Promise.all([1, 2, 3].map(() => contend(prefix)))));
  expect(all.flatMap(({ faults }) => faults)).toEqual([]);
  expect({ twice: sum('twice'), stolen: sum('stolen'), stuck: sum('stuck') }).toEqual({
    twice: 0,
    stolen: 0,
    stuck: 0,
  });
  expect(sum('died'), 'dead locks were taken over').toBeGreaterThan(1);
  expect(sum('refused'), 'they met').toBeGreaterThan(0);
  expect(sum('taken')).toBeGreaterThan(2);
  const rest = readdirSync(join(prefix, 'run/cmsadm')).filter((file) => file !== 'lock');
  expect(rest, 'nothing is left beside the lock').toEqual([]);
});

/** Starts a process that takes the lock and keeps it; returns once it has it, or has been refused. */
function holder(prefix: string): void {
  const child = spawn(process.execPath, ['--import', 'tsx', contender, prefix, '0'], {
    cwd: repository,
    stdio: 'ignore',
  });
  onTestFinished(() => void child.kill());
  const ended = (): boolean => readFileSync(`/proc/${child.pid}/stat`, 'utf8').includes(') Z ');
  const nobody = new Int32Array(new SharedArrayBuffer(4));
  while (!readdirSync(prefix).includes(`holds.${child.pid}`) && !ended()) Atomics.wait(nobody, 0, 0, 10);
}

test('while one process takes over a dead lock slowly, only one of two others gets it', () => {
  const prefix = join(folder, 'slowly');
  mkdirSync(join(prefix, 'run/cmsadm'), { recursive: true });
  const dead = { operation: '', operator: '', startedOn: '', since: '', pid: 4194304, processStart: '1' };
  const system = realSystem();
  writeFileSync(join(prefix, 'run/cmsadm/lock'), JSON.stringify({ ...dead, bootId: system.bootId() }));
  // At each look at an owner's process somebody else is faster.
  const processStart = (pid: number): string | undefined => {
    if (pid !== process.pid && readdirSync(prefix).filter((name) => name.startsWith('holds')).length < 2)
      holder(prefix);
    return system.processStart(pid);
  };
  const slow = { root: { prefix, ownersCount: false }, system: { ...system, processStart }, programRoot: prefix };
  const claim = { operation: 'set up roles', operator: 'anna', startedOn: 'cms2.example.com' };
  expect(() => takeLock(slow, claim)).toThrowError(expect.objectContaining({ code: 'locked' }));
  expect(readdirSync(prefix).filter((name) => name.startsWith('holds'))).toHaveLength(1);
});
