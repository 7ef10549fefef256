// Ending the process that holds a lock: real processes, and never a lock taken from a living one.
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, onTestFinished, test, vi } from 'vitest';
import { endOwner, type Holder, holderOf } from '../../src/change/end-owner.ts';
import { lockOwner, takeLock } from '../../src/change/lock.ts';
import { CmsadmError } from '../../src/errors.ts';
import { realSystem } from '../../src/host/real-system.ts';
import type { Host, System } from '../../src/host/system.ts';
import { tempFolder } from '../packages/temp-folder.ts';

const folder = tempFolder();
const claim = { operation: 'set up roles', operator: 'ops', startedOn: 'cms2.example.com' };
const hostIn = (prefix: string, system: Partial<System> = {}): Host => ({
  root: { prefix, ownersCount: false },
  system: { ...realSystem(), ...system },
  programRoot: prefix,
});

/** A server whose lock another process holds. */
async function held(name: string, how: 'leaves' | 'deaf'): Promise<{ host: Host; seen: Holder; child: ChildProcess }> {
  const prefix = join(folder, name);
  mkdirSync(prefix);
  const owner = fileURLToPath(new URL('hanging-owner.ts', import.meta.url));
  const child = spawn(process.execPath, ['--import', 'tsx', owner, prefix, how], { stdio: 'inherit' });
  onTestFinished(() => void child.kill('SIGKILL'));
  await vi.waitFor(() => expect(existsSync(join(prefix, 'holds'))).toBe(true), 20_000);
  const host = hostIn(prefix);
  const seen = holderOf(host);
  if (!seen) throw new Error('nobody holds the lock');
  return { host, seen, child };
}
const state = (seen: Holder): string | undefined => realSystem().processState(seen.pid);
const beside = ({ root }: Host): string[] => readdirSync(join(root.prefix, 'run/cmsadm'));

describe('the owner of a lock', () => {
  test('that still hears leaves in order', async () => {
    const { host, seen } = await held('leaves', 'leaves');
    expect(seen).toMatchObject({ operation: 'reverse roles', operator: 'anna', process: 'running' });
    expect(await endOwner(host, seen, 20)).toBe('left');
    expect(lockOwner(host)).toBeUndefined();
  });

  test('that still hears is given its time, though the clock is set meanwhile', async () => {
    const { host, seen } = await held('clock', 'leaves');
    let hours = 0;
    const system = { ...host.system, clock: () => Date.now() + hours++ * 3_600_000 };
    expect(await endOwner({ ...host, system }, seen, 20)).toBe('left');
  });

  test('that is deaf is killed when its time is over; nothing stays beside, and the next one gets the lock', async () => {
    const { host, seen } = await held('deaf', 'deaf');
    expect(await endOwner(host, seen, 0.3)).toBe('killed');
    expect(state(seen)).toBeUndefined();
    expect(beside(host)).toEqual([]);
    takeLock(host, claim);
  });

  test('that is stopped is killed at once: it must not go on later', async () => {
    const { host, seen, child } = await held('stopped', 'leaves');
    child.kill('SIGSTOP');
    await vi.waitFor(() => expect(holderOf(host)?.process).toBe('stopped'));
    expect(await endOwner(host, seen, 20)).toBe('killed');
    expect(state(seen)).toBeUndefined();
  });

  test('keeps it to its last moment: until he is dead nobody else gets it', async () => {
    const { host, seen } = await held('last-moment', 'deaf');
    const refused: boolean[] = [];
    const refusesOthers = (): void => {
      expect(() => takeLock(host, claim)).toThrowError(expect.objectContaining({ code: 'locked' }));
      refused.push(state(seen) !== undefined);
    };
    const watched = hostIn(host.root.prefix, {
      askToLeave: (pid) => {
        refusesOthers();
        realSystem().askToLeave(pid);
      },
      endProcess: (pid) => {
        refusesOthers();
        return realSystem().endProcess(pid);
      },
    });
    await endOwner(watched, seen, 0.2);
    expect(refused).toEqual([true, true]);
  });

  test('that went by itself meanwhile needs no end', async () => {
    const { host, seen, child } = await held('went', 'leaves');
    child.kill('SIGTERM');
    await vi.waitFor(() => expect(lockOwner(host)).toBeUndefined());
    expect(await endOwner(host, seen, 1)).toBe('gone');
  });

  test('that is not the one that was seen is left alone', async () => {
    const { host, seen } = await held('another', 'leaves');
    const other = { ...seen, since: '2026-01-01T00:00:00Z' };
    await expect(endOwner(host, other, 0.2)).rejects.toMatchObject({
      code: 'lock-differs',
      message: expect.stringMatching(/anna.*reverse roles/),
    });
    expect(state(seen)).toBe('running');
    expect(lockOwner(host)).toBeDefined();
  });

  test('that no signal reaches keeps the lock, and a person is called', async () => {
    const { host, seen } = await held('stuck', 'deaf');
    const stuck = hostIn(host.root.prefix, {
      processState: () => 'waiting',
      askToLeave: () => undefined,
      endProcess: () => Promise.reject(new CmsadmError('process-stays', 'It stays.')),
    });
    await expect(endOwner(stuck, seen, 0.1)).rejects.toMatchObject({ code: 'owner-stuck', exitCode: 5 });
    expect(() => takeLock(host, claim)).toThrowError(expect.objectContaining({ code: 'locked' }));
  });
});

test('a process that is dead and not yet buried holds no lock', async () => {
  const prefix = join(folder, 'zombie');
  mkdirSync(join(prefix, 'run/cmsadm'), { recursive: true });
  // The shell becomes sleep and never waits for the child that it left.
  const parent = spawn('sh', ['-c', 'sleep 0.1 & echo $!; exec sleep 60'], { stdio: ['ignore', 'pipe', 'ignore'] });
  onTestFinished(() => void parent.kill('SIGKILL'));
  const pid = Number(await new Promise((resolve) => parent.stdout.once('data', (data) => resolve(String(data)))));
  const system = realSystem();
  const owner = { ...claim, since: '2026-01-01T00:00:00Z', pid, bootId: system.bootId() };
  const lock = { ...owner, processStart: system.processStart(pid) };
  writeFileSync(join(prefix, 'run/cmsadm/lock'), JSON.stringify(lock));
  expect(lockOwner(hostIn(prefix)), 'while it lives').toMatchObject(claim);
  await vi.waitFor(() => expect(readFileSync(`/proc/${pid}/stat`, 'utf8')).toContain(') Z '));
  expect(lockOwner(hostIn(prefix))).toBeUndefined();
});
