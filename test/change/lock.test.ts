import * as fs from 'node:fs';
import { mkdirSync, statSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { withLocks } from '../../src/change/coordinator.ts';
import { lockOwner, releaseLock, takeLock } from '../../src/change/lock.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { serverOf, type TestHost, testHost } from './test-host.ts';

const folder = tempFolder();
let host: TestHost;
let number = 0;
beforeEach(() => {
  number += 1;
  host = testHost(join(folder, String(number)));
});
const claim = { operation: 'reverse roles', operator: 'ops', startedOn: 'cms1.example.com' };
const alive = {
  ...{ operation: 'set up roles', operator: 'anna', startedOn: 'cms2.example.com', since: '2026-01-02T03:04:05Z' },
  ...{ pid: process.pid, processStart: '100', bootId: 'boot-1' },
};
const lockFile = (): string => join(host.root.prefix, 'run/cmsadm/lock');
function leave(text: string): void {
  mkdirSync(join(host.root.prefix, 'run/cmsadm'), { recursive: true });
  writeFileSync(lockFile(), text);
}

test('a lock tells who, what, since when and from where, and only root reads it', () => {
  takeLock(host, claim);
  expect(lockOwner(host)).toMatchObject({ ...claim, pid: process.pid, since: expect.stringMatching(/^2023-11-14T/) });
  expect(statSync(lockFile()).mode & 0o7777).toBe(0o600);
});

test('a second owner is refused with who, what, since when and from where', () => {
  leave(JSON.stringify(alive));
  expect(() => takeLock(host, claim)).toThrowError(
    expect.objectContaining({
      code: 'locked',
      message: expect.stringMatching(/anna.*set up roles.*2026-01-02T03:04:05Z.*cms2\.example\.com/),
    }),
  );
  expect(lockOwner(host)?.operator).toBe('anna');
});

test('a lock is taken over however many died one after the other while they took it over', () => {
  let process = 0;
  const mortal = testHost(join(folder, `${number}-mortal`), { processStart: () => `${process}` });
  const killed = (): never => {
    throw new Error('killed');
  };
  const dying = { ...mortal, root: { ...mortal.root, disk: { ...fs, renameSync: killed } } };
  mkdirSync(join(mortal.root.prefix, 'run/cmsadm'), { recursive: true });
  writeFileSync(join(mortal.root.prefix, 'run/cmsadm/lock'), '');
  for (process = 1; process <= 40; process += 1) expect(() => takeLock(dying, claim)).toThrow('killed');
  takeLock(mortal, claim);
  expect(lockOwner(mortal)).toMatchObject(claim);
});

test.each([
  { name: 'its process is gone', text: JSON.stringify({ ...alive, pid: 4194304 }) },
  { name: 'its process id belongs to another process now', text: JSON.stringify({ ...alive, processStart: '99' }) },
  { name: 'the server was started anew since', text: JSON.stringify({ ...alive, bootId: 'boot-0' }) },
  { name: 'it was torn by a crash', text: '{"operation":"set' },
  { name: 'it is empty', text: '' },
])('a lock is taken over when $name', ({ text }) => {
  leave(text);
  expect(lockOwner(host)).toBeUndefined();
  takeLock(host, claim);
  expect(lockOwner(host)?.operator).toBe('ops');
});

test('age alone breaks no lock', () => {
  leave(JSON.stringify({ ...alive, since: '1999-01-01T00:00:00Z' }));
  expect(() => takeLock(host, claim)).toThrowError(expect.objectContaining({ code: 'locked' }));
});

test('releasing frees it, and releasing what another process holds does not', () => {
  takeLock(host, claim);
  releaseLock(host);
  expect(lockOwner(host)).toBeUndefined();
  const other = { ...host, system: { ...host.system, processStart: () => '100' } };
  leave(JSON.stringify({ ...alive, pid: process.pid + 1 }));
  releaseLock(other);
  expect(lockOwner(other)?.operator).toBe('anna');
});

describe('both locks', () => {
  test.each([
    { first: 'SHA256:a', second: 'SHA256:b', order: ['one', 'two'] },
    { first: 'SHA256:b', second: 'SHA256:a', order: ['two', 'one'] },
  ])('the lower fingerprint first: $order, and both are given back', async ({ first, second, order }) => {
    const other = testHost(join(folder, `${number}-other`));
    const taken: string[] = [];
    const place = (name: string, one: TestHost, fingerprint: string) => {
      const server = serverOf(one);
      const lock: typeof server.lock = (wanted) => server.lock(wanted).then(() => void taken.push(name));
      return { name, fingerprint, server: { ...server, lock } };
    };
    await withLocks([place('one', host, first), place('two', other, second)], claim, async () => {
      expect([lockOwner(host)?.operation, lockOwner(other)?.operation]).toEqual(['reverse roles', 'reverse roles']);
    });
    expect(taken).toEqual(order);
    expect([lockOwner(host), lockOwner(other)]).toEqual([undefined, undefined]);
  });

  test('the second is taken: the first is given back, nothing is done', async () => {
    const other = testHost(join(folder, `${number}-other`));
    mkdirSync(join(other.root.prefix, 'run/cmsadm'), { recursive: true });
    writeFileSync(join(other.root.prefix, 'run/cmsadm/lock'), JSON.stringify(alive));
    let worked = false;
    const places = [
      { name: 'one', fingerprint: 'a', server: serverOf(host) },
      { name: 'two', fingerprint: 'b', server: serverOf(other) },
    ];
    const run = withLocks(places, claim, async () => {
      worked = true;
    });
    await expect(run).rejects.toMatchObject({ code: 'locked' });
    expect(worked).toBe(false);
    expect(lockOwner(host)).toBeUndefined();
    expect(lockOwner(other)?.operator).toBe('anna');
  });

  test('a failure of the work gives both back', async () => {
    const places = [{ name: 'one', fingerprint: 'a', server: serverOf(host) }];
    await expect(withLocks(places, claim, () => Promise.reject(new Error('no')))).rejects.toThrow('no');
    expect(lockOwner(host)).toBeUndefined();
  });
});
