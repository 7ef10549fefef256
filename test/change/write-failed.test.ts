// What the system refuses to write (full disk, read-only, no permission) is told with the file; it is no bug of ours.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { runAlone } from '../../src/change/coordinator.ts';
import { unfinished } from '../../src/change/journal.ts';
import { localServer } from '../../src/change/server.ts';
import { exitCodes } from '../../src/errors.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { collected } from '../rehearsal/pair.ts';
import { changeOf, profile, testHost, tree } from './test-host.ts';

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
