import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { takeAwayTheRest } from '../../src/change/afterwards.ts';
import { removeBrought } from '../../src/change/brought.ts';
import { recover } from '../../src/change/recover.ts';
import { changeOf, serverOf, type TestHost, tag, testHost } from './test-host.ts';

const removal = 'install /opt/cmsadm/current/templates --remove';
let prefix: string;
let host: TestHost;
const mark = (): string => join(prefix, 'opt/cmsadm/brought');

beforeEach(() => {
  prefix = mkdtempSync(join(tmpdir(), 'cmsadm-brought-'));
  host = testHost(prefix);
  mkdirSync(join(prefix, 'opt/cmsadm'), { recursive: true });
  writeFileSync(mark(), '');
});
afterEach(() => rmSync(prefix, { recursive: true }));

/** Begins a link that changes one file, as a first contact does. */
async function beginLink(): Promise<void> {
  const change = changeOf(host, { '/root/.ssh/known_hosts': 'a key\n' }, { step: 'link' });
  await serverOf(host).stage({ change, part: 'alone' });
  await serverOf(host).arm({ id: `${tag}.link`, seconds: 60 });
}

test('the brought program stays while the link is open, and goes after it was put back', async () => {
  await beginLink();
  expect(await removeBrought(host)).toBe(false);
  await recover(host, undefined, 'operator');
  await takeAwayTheRest(host);
  expect(host.did).toContain(removal);
});

test('the way back’s timer also takes the lock of the run that died, and not while another change is open', async () => {
  await beginLink();
  const lock = join(prefix, 'run/cmsadm/lock');
  const dead = { operation: 'set up roles: link', operator: 'ops', startedOn: 'cms1', since: '' };
  mkdirSync(join(prefix, 'run/cmsadm'), { recursive: true });
  writeFileSync(lock, JSON.stringify({ ...dead, pid: process.ppid, processStart: '1', bootId: 'boot-0' }));
  await recover(host, `${tag}.change`, 'itself');
  expect(existsSync(lock)).toBe(true);
  await recover(host, `${tag}.link`, 'itself');
  expect(existsSync(lock)).toBe(false);
  await takeAwayTheRest(host);
  expect(host.did.at(-1)).toBe(removal);
});

test('it goes when nothing is open: the power failed before the link was begun', async () => {
  await takeAwayTheRest(host);
  expect(host.did).toEqual([removal]);
});

test('it stays while somebody else is at it', async () => {
  const owner = { pid: process.ppid, processStart: '7', bootId: 'boot-1' };
  const claim = { operation: 'set up roles: link', operator: 'ops', startedOn: 'cms1', since: '' };
  mkdirSync(join(prefix, 'run/cmsadm'), { recursive: true });
  writeFileSync(join(prefix, 'run/cmsadm/lock'), JSON.stringify({ ...claim, ...owner }));
  const living = testHost(prefix, { processStart: (pid) => (pid === process.ppid ? '7' : '100') });
  expect(await removeBrought(living)).toBe(false);
  expect(await removeBrought(host)).toBe(true); // the owner is dead
});

test('a program that nobody brought is never taken away', async () => {
  rmSync(mark());
  await recover(host, undefined, 'operator');
  await takeAwayTheRest(host);
  expect(host.did).toEqual([]);
});

test('the confirmed link keeps it', async () => {
  const change = changeOf(host, { '/root/.ssh/known_hosts': 'a key\n' }, { step: 'link' });
  const server = serverOf(host);
  const { id } = await server.stage({ change, part: 'alone' });
  await server.commit({ id });
  await server.confirm({ id });
  expect(existsSync(mark())).toBe(false);
});
