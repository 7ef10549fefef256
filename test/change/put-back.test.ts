// Which name stands for which file decides what is put back: text alone can't tell a file from its successor.
import { chmodSync, linkSync, mkdirSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import type { FileChange } from '../../src/change/change.ts';
import { unfinished } from '../../src/change/journal.ts';
import type { Server } from '../../src/change/server.ts';
import { placeOf } from '../../src/host/held-folder.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { changeOf, changeId as id, serverOf, type TestHost, tag, testHost, textAt, tree } from './test-host.ts';

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
const inode = (path: string): number => statSync(file(path)).ino;
const hosts = '/etc/hosts';
const backup = `${hosts}.${tag}`;
const staged = `/etc/.hosts.${tag}.staged`;
const oldText = '127.0.0.1 localhost\n';

/** The same text, another mode: what a restore may come to. */
async function stageOtherMode(): Promise<void> {
  const change = changeOf(host, { [hosts]: oldText });
  const files = change.files.map((one): FileChange => ({ ...one, after: one.after && { ...one.after, mode: 0o600 } }));
  await server.stage({ change: { ...change, files }, part: 'peer' });
}

describe('a file whose text stays and whose mode changes', () => {
  test('is the old file again after a put back', async () => {
    const [before, old] = [tree(host), inode(hosts)];
    await stageOtherMode();
    await server.commit({ id });
    expect(statSync(file(hosts)).mode & 0o777).toBe(0o600);
    expect(await server.putBack({ id, by: 'operator' })).toMatchObject({ files: [hosts], edited: [], left: [] });
    expect(tree(host)).toEqual(before);
    expect(inode(hosts)).toBe(old);
  });

  test.each([
    { name: 'before its backup', crash: () => undefined },
    { name: 'between its backup and the rename', crash: () => linkSync(file(hosts), file(backup)) },
    {
      name: 'right after the rename',
      crash: () => {
        linkSync(file(hosts), file(backup));
        renameSync(file(staged), file(hosts));
      },
    },
  ])('is the old file after a crash $name', async ({ crash }) => {
    const [before, old] = [tree(host), inode(hosts)];
    await stageOtherMode();
    // Everything else of the commit has happened.
    await server.commit({ id });
    renameSync(file(hosts), file(staged));
    renameSync(file(backup), file(hosts));
    crash();
    await server.putBack({ id, by: 'operator' });
    expect(tree(host)).toEqual(before);
    expect(inode(hosts)).toBe(old);
    expect(unfinished(host.root)).toEqual([]);
  });
});

describe('a file that is to be replaced or taken away', () => {
  test.each([
    { name: 'replaced', texts: { [hosts]: 'new\n' } },
    { name: 'taken away', texts: { [hosts]: null } },
  ])('$name: is the very file of before after a put back, with its time', async ({ texts }) => {
    const before = statSync(file(hosts));
    await server.stage({ change: changeOf(host, texts), part: 'peer' });
    await server.commit({ id });
    expect(inode(backup)).toBe(before.ino);
    await server.putBack({ id, by: 'operator' });
    const { ino, mtimeMs, nlink } = statSync(file(hosts));
    expect({ ino, mtimeMs, nlink }).toEqual({ ino: before.ino, mtimeMs: before.mtimeMs, nlink: 1 });
  });

  test('taken away, after a crash that had only made its backup', async () => {
    const before = tree(host);
    await server.stage({ change: changeOf(host, { [hosts]: null }), part: 'peer' });
    await server.commit({ id });
    linkSync(file(backup), file(hosts));
    await server.putBack({ id, by: 'operator' });
    expect(tree(host)).toEqual(before);
  });

  test('edited in place after a crash that had only made its backup: left, and no second name stays', async () => {
    await server.stage({ change: changeOf(host, { [hosts]: 'new\n' }), part: 'peer' });
    await server.commit({ id });
    renameSync(file(hosts), file(staged));
    renameSync(file(backup), file(hosts));
    linkSync(file(hosts), file(backup));
    writeFileSync(file(hosts), 'by hand\n');
    expect(await server.putBack({ id, by: 'operator' })).toMatchObject({ files: [], edited: [], left: [hosts] });
    expect(textAt(host, hosts)).toBe('by hand\n');
    expect(Object.keys(tree(host)).filter((path) => path.includes(tag))).toEqual([]);
  });
});

describe('something else that took the place of the new file', () => {
  test('a link is kept as an edit, and the old file is back', async () => {
    await server.stage({ change: changeOf(host, { [hosts]: 'new\n' }), part: 'peer' });
    await server.commit({ id });
    rmSync(file(hosts));
    symlinkSync('services', file(hosts));
    expect(await server.putBack({ id, by: 'operator' })).toMatchObject({
      files: [hosts],
      edited: [`${backup}.edited`],
    });
    expect(textAt(host, hosts)).toBe(oldText);
    expect(textAt(host, `${backup}.edited`)).toBe(textAt(host, '/etc/services'));
  });

  test('a folder stops the put back, which says so and can be repeated', async () => {
    await server.stage({ change: changeOf(host, { [hosts]: 'new\n' }), part: 'peer' });
    await server.commit({ id });
    rmSync(file(hosts));
    mkdirSync(file(hosts));
    const refused = expect.arrayContaining([expect.stringContaining(hosts)]);
    await expect(server.putBack({ id, by: 'operator' })).rejects.toMatchObject({
      code: 'put-back-incomplete',
      details: refused,
    });
    renameSync(file(hosts), file('/etc/hosts-folder'));
    await server.putBack({ id, by: 'operator' });
    expect(textAt(host, hosts)).toBe(oldText);
  });
});

describe('between plan and apply', () => {
  /** As a plan pins it: the folder, and what it saw of the file. */
  const pinned = (texts: Readonly<Record<string, string>>) => {
    const change = changeOf(host, texts);
    const files = change.files.map(
      (one): FileChange => ({
        ...one,
        folder: placeOf(host.root, one.path.slice(0, one.path.lastIndexOf('/'))),
        was: { mode: 0o664, owner: 'root', group: 'root' },
      }),
    );
    return { ...change, files };
  };

  test('another mode stops everything, though the text is the same', async () => {
    const change = pinned({ [hosts]: 'new\n' });
    chmodSync(file(hosts), 0o640);
    const before = tree(host);
    await expect(server.stage({ change, part: 'alone' })).rejects.toMatchObject({ code: 'file-changed', file: hosts });
    expect(tree(host)).toEqual(before);
  });

  test.each([
    { name: 'its mode', touch: () => chmodSync(file(hosts), 0o640) },
    { name: 'anything else of it, such as its access list', touch: () => chmodSync(file(hosts), 0o664) },
    {
      name: 'the file itself, by one of the same text',
      touch: () => {
        writeFileSync(file('/etc/hosts.other'), oldText);
        chmodSync(file('/etc/hosts.other'), 0o664);
        renameSync(file('/etc/hosts.other'), file(hosts));
      },
    },
  ])('once it is staged, who changes $name stops everything', async ({ touch }) => {
    await server.stage({ change: pinned({ [hosts]: 'new\n' }), part: 'alone' });
    // The kernel's stamps are as coarse as its tick.
    await new Promise((resolve) => setTimeout(resolve, 20));
    touch();
    const before = tree(host);
    await expect(server.commit({ id })).rejects.toMatchObject({ code: 'file-changed', file: hosts });
    expect(tree(host)).toEqual(before);
  });

  test('a folder that became a link stops everything, and nothing is written where it leads', async () => {
    const change = pinned({ [hosts]: 'new\n' });
    mkdirSync(file('/trap'));
    writeFileSync(file('/trap/hosts'), oldText);
    chmodSync(file('/trap/hosts'), 0o664);
    renameSync(file('/etc'), file('/etc.real'));
    symlinkSync('trap', file('/etc'));
    const before = tree(host);
    await expect(server.stage({ change, part: 'alone' })).rejects.toMatchObject({ code: 'folder-moved' });
    expect(tree(host)).toEqual(before);
  });
});
