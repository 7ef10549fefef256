// What the system refuses to write (full disk, read-only, no permission) is told with the file; it is no bug of ours.
import * as fs from 'node:fs';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { expect, test } from 'vitest';
import { runAlone } from '../../src/change/coordinator.ts';
import { unfinished } from '../../src/change/journal.ts';
import { recover } from '../../src/change/recover.ts';
import { remoteServer } from '../../src/change/remote-server.ts';
import { localServer } from '../../src/change/server.ts';
import { servePeer } from '../../src/commands/peer.ts';
import { exitCodes } from '../../src/errors.ts';
import { openSession } from '../../src/host/session.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { collected } from '../rehearsal/pair.ts';
import { changeId, changeOf, profile, serverOf, type TestHost, testHost, tree } from './test-host.ts';

const folder = tempFolder();
const long = `/etc/${'x'.repeat(240)}`;
const row = { kind: 'hosts', path: long, step: 'change', mode: '0644', create: true } as const;
const roomy = { ...profile, files: [...profile.files, { ...row, owners: ['root'], services: [] }] };
const noSpace = { code: 'ENOSPC', syscall: 'write', path: '/etc/chrony/.chrony.conf.staged' };
const full = Object.assign(new Error('ENOSPC: no space left on device, write'), noSpace);

test.each([
  {
    name: 'a name that is too long, once it is staged',
    texts: { '/etc/chrony/chrony.conf': 'server a\n', [long]: 'new\n' },
    says: { file: expect.stringContaining('xxx'), message: expect.stringContaining('ENAMETOOLONG') },
  },
  {
    name: 'a full disk',
    texts: { '/etc/chrony/chrony.conf': 'server a\n' },
    judge: () => Promise.reject(full),
    says: { file: noSpace.path, message: expect.stringContaining('no space left') },
  },
  {
    name: 'a journal that cannot be written',
    texts: { '/etc/chrony/chrony.conf': 'server a\n' },
    prepare: (prefix: string) => writeFileSync(join(prefix, 'var/lib/cmsadm/journal'), ''),
    says: { file: expect.stringContaining('journal'), message: expect.stringContaining('ENOTDIR') },
  },
])('$name ends the run as put back, names the file, and leaves nothing behind', async (one) => {
  const prefix = join(folder, one.name.replaceAll(/\W+/g, '-'));
  const host = testHost(prefix, one.judge ? { judge: one.judge } : {});
  mkdirSync(join(prefix, 'var/lib/cmsadm'), { recursive: true });
  one.prepare?.(prefix);
  const before = tree(host);
  const server = localServer({ host, profile: roomy, family: 'debian', carriedIn: undefined });
  const change = changeOf(host, one.texts);
  await expect(server.stage({ change, part: 'alone' })).rejects.toMatchObject({
    code: 'system-refused',
    remedy: expect.stringMatching(/room/),
    ...one.says,
  });
  const run = runAlone({ name: 'cms1', server, change }, collected().report, { requested: false });
  await expect(run).rejects.toMatchObject({ code: 'system-refused', exitCode: exitCodes.putBack });
  expect(tree(host)).toEqual(before);
  expect(unfinished(host.root)).toEqual([]);
});

/** A server on which the disk is full when the new files are judged, and so many removals are refused from then on. */
function failing(name: string, refusals: number): { host: TestHost; heal: () => void } {
  let left = 0;
  const judge = (): Promise<never> => {
    left = refusals;
    return Promise.reject(full);
  };
  const unlinkSync = (path: fs.PathLike): void => {
    if (left > 0) {
      left -= 1;
      throw Object.assign(new Error('EROFS: unlink'), { code: 'EROFS', syscall: 'unlink', path: 'another' });
    }
    fs.unlinkSync(path);
  };
  const host = testHost(join(folder, name), { judge });
  const disk = { ...fs, unlinkSync };
  const heal = (): void => {
    left = 0;
  };
  return { host: { ...host, root: { ...host.root, disk } }, heal };
}
const texts = { '/etc/chrony/chrony.conf': 'server a\n', '/etc/hosts': 'new\n' };
const runOn = (host: TestHost): Promise<unknown> => {
  const side = { name: 'cms1', server: serverOf(host), change: changeOf(host, texts) };
  return runAlone(side, collected().report, { requested: false });
};

test('what a failed stage can’t take away is told as not as before, with the first cause, and goes by recover', async () => {
  const { host, heal } = failing('stays', Number.POSITIVE_INFINITY);
  const before = tree(host);
  await expect(runOn(host)).rejects.toMatchObject({
    code: 'system-refused',
    file: noSpace.path,
    exitCode: exitCodes.needsPerson,
    details: expect.arrayContaining([expect.stringContaining('cms1: not as before yet.')]),
    remedy: expect.stringContaining('`cmsadm recover` on cms1'),
  });
  expect(unfinished(host.root)).toEqual([changeId]);
  heal();
  expect(await recover(host, undefined, 'operator')).toMatchObject([{ did: 'put back' }]);
  expect(tree(host)).toEqual(before);
  expect(unfinished(host.root)).toEqual([]);
});

test('one removal that is refused keeps nothing else of a failed stage, and the put back of the run makes it good', async () => {
  const { host } = failing('once', 1);
  const before = tree(host);
  await expect(runOn(host)).rejects.toMatchObject({ file: noSpace.path, exitCode: exitCodes.putBack });
  expect(tree(host)).toEqual(before);
  expect(unfinished(host.root)).toEqual([]);
});

test('what a failed stage left on the other server goes when its session ends', async () => {
  const { host, heal } = failing('session', Number.POSITIVE_INFINITY);
  const before = tree(host);
  const [toThere, toHere] = [new PassThrough(), new PassThrough()];
  const served = servePeer(host, profile, { carriedIn: undefined }, toThere, toHere);
  const session = await openSession(toHere, toThere, 'cms1', () => toThere.end());
  const peer = remoteServer(session);
  await expect(peer.stage({ change: changeOf(host, texts), part: 'peer' })).rejects.toMatchObject({
    file: noSpace.path,
  });
  expect(unfinished(host.root)).toEqual([changeId]);
  heal();
  session.close();
  await served;
  expect(tree(host)).toEqual(before);
  expect(unfinished(host.root)).toEqual([]);
});

test('a folder that became read-only, in which nothing was written, leaves no change open', async () => {
  const refused = (call: string) => (path: fs.PathLike) => {
    if (`${path}`.endsWith('.staged'))
      throw Object.assign(new Error(`EROFS: ${call}`), { code: 'EROFS', syscall: call, path });
  };
  const host = testHost(join(folder, 'read-only'));
  const before = tree(host);
  const openSync: typeof fs.openSync = (path, flags, mode) => {
    if (typeof flags !== 'number' || (flags & fs.constants.O_CREAT) !== 0) refused('open')(path);
    return fs.openSync(path, flags, mode);
  };
  const unlinkSync = (path: fs.PathLike): void => {
    refused('unlink')(path); // also of what is not there
    fs.unlinkSync(path);
  };
  const disk = { ...fs, openSync, unlinkSync };
  await expect(runOn({ ...host, root: { ...host.root, disk } })).rejects.toMatchObject({
    code: 'system-refused',
    message: expect.stringContaining('EROFS'),
    exitCode: exitCodes.putBack,
  });
  expect(unfinished(host.root)).toEqual([]);
  expect(tree(host)).toEqual(before);
});
