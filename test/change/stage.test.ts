import { linkSync, mkdirSync, statSync, symlinkSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { nothingAfterwards } from '../../src/change/change.ts';
import { unfinished } from '../../src/change/journal.ts';
import type { Server } from '../../src/change/server.ts';
import { stage } from '../../src/change/stage.ts';
import { CmsadmError } from '../../src/errors.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { changeId, changeOf, profile, serverOf, type TestHost, tag, testHost, textAt, tree } from './test-host.ts';

const folder = tempFolder();
let host: TestHost;
let server: Server;
let number = 0;
beforeEach(() => {
  number += 1;
  host = testHost(join(folder, String(number)));
  server = serverOf(host);
});

const file = (path: string): string => join(host.root.prefix, path);
const id = changeId;
const newTexts = {
  '/etc/hosts': '127.0.0.1 localhost\n192.0.2.11 cms1\n',
  '/root/.rhosts': null,
  '/root/.bash_profile': 'PATH=1\n',
  '/var/lib/cmsadm/pair.json': '{}\n',
  '/cms/install/security/OpenPorts': '22/tcp any\n',
};
const codeOf = (error: unknown): string => (error instanceof CmsadmError ? error.code : String(error));
const refusal = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'no error', codeOf);

describe('stage', () => {
  test('changes nothing that is live', async () => {
    const before = tree(host);
    await server.stage({ change: changeOf(host, newTexts), part: 'alone' });
    const after = tree(host);
    for (const [path, was] of Object.entries(before)) expect(after[path], path).toBe(was);
    expect(textAt(host, `/etc/.hosts.${tag}.staged`)).toBe(newTexts['/etc/hosts']);
    expect(statSync(file(`/etc/.hosts.${tag}.staged`)).mode & 0o7777).toBe(0o664);
    expect(host.did).toEqual([]);
  });

  test.each([
    {
      name: 'a file that was changed since',
      spoil: () => writeFileSync(file('/etc/hosts'), 'other\n'),
      code: 'file-changed',
    },
    { name: 'a file that went since', spoil: () => unlinkSync(file('/root/.rhosts')), code: 'file-changed' },
    {
      name: 'a file that came since',
      spoil: () => writeFileSync(file('/root/.bash_profile'), ''),
      code: 'file-changed',
    },
    {
      name: 'a link in place of a file',
      spoil: () => {
        unlinkSync(file('/etc/hosts'));
        symlinkSync(file('/etc/services'), file('/etc/hosts'));
      },
      code: 'file-refused',
    },
    {
      name: 'a folder in place of a file',
      spoil: () => {
        unlinkSync(file('/root/.rhosts'));
        mkdirSync(file('/root/.rhosts'));
      },
      code: 'file-refused',
    },
    {
      name: 'a backup that is there already',
      spoil: () => linkSync(file('/etc/hosts'), file(`/etc/hosts.${tag}`)),
      code: 'tag-taken',
    },
  ])('refuses $name, and leaves nothing behind', async ({ spoil, code }) => {
    const change = changeOf(host, newTexts);
    spoil();
    const before = tree(host);
    expect(await refusal(server.stage({ change, part: 'alone' }))).toBe(code);
    expect(tree(host)).toEqual(before);
    expect(unfinished(host.root)).toEqual([]);
  });

  test('refuses a path that is not in its own table', async () => {
    const change = changeOf(host, { '/etc/shadow': 'root::::::::\n' });
    expect(await refusal(server.stage({ change, part: 'peer' }))).toBe('path-refused');
    const gone = changeOf(host, {}, { afterwards: { ...nothingAfterwards, removeFiles: ['/etc/passwd'] } });
    expect(await refusal(server.stage({ change: gone, part: 'peer' }))).toBe('path-refused');
  });

  test('refuses a tag that was used before', async () => {
    await server.stage({ change: changeOf(host, { '/etc/services': 'a\n' }), part: 'alone' });
    await server.putBack({ id, by: 'operator' });
    expect(await refusal(server.stage({ change: changeOf(host, { '/etc/hosts': 'b\n' }), part: 'alone' }))).toBe(
      'tag-taken',
    );
    expect(textAt(host, '/etc/hosts')).toBe('127.0.0.1 localhost\n');
  });

  test('refuses what the program that reads it refuses, and leaves nothing behind', async () => {
    const judged: string[] = [];
    const strict = testHost(join(folder, `${number}-judged`), {
      judge: async (kind, path) => {
        judged.push(`${kind} ${path}`);
        return { ran: true, problem: 'line 1: no such directive' };
      },
    });
    const change = changeOf(strict, { ...newTexts, '/etc/chrony/chrony.conf': 'bad\n' });
    const before = tree(strict);
    const error = await serverOf(strict)
      .stage({ change, part: 'alone' })
      .catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'judged-bad', file: '/etc/chrony/chrony.conf', server: 'cms1.example.com' });
    expect(judged).toHaveLength(1);
    expect(judged[0]).toContain('.staged');
    expect(tree(strict)).toEqual(before);
    expect(unfinished(strict.root)).toEqual([]);
  });

  test('a file that the system refuses to write, as on a full disk, leaves nothing behind', async () => {
    // Its staged name is longer than a file name may be.
    const long = `/etc/${'x'.repeat(240)}`;
    const row = { kind: 'hosts', path: long, step: 'change', mode: '0644', create: true } as const;
    const roomy = { ...profile, files: [...profile.files, { ...row, owners: ['root'], services: [] }] };
    const change = changeOf(host, { '/etc/hosts': 'new\n', [long]: 'new\n' });
    const before = tree(host);
    await expect(stage(host, roomy, 'debian', change, 'alone', () => '')).rejects.toMatchObject({
      code: 'ENAMETOOLONG',
    });
    expect(tree(host)).toEqual(before);
    expect(unfinished(host.root)).toEqual([]);
  });
});
