// What a server keeps of earlier changes, and what a prune takes of it.
import { existsSync, readFileSync, renameSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { readBackups } from '../../src/change/backups.ts';
import { readJournal, unfinished } from '../../src/change/journal.ts';
import type { Server } from '../../src/change/server.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { changeOf, serverOf, type TestHost, testHost, tree } from './test-host.ts';

const folder = tempFolder();
let host: TestHost;
let server: Server;
let number = 0;
beforeEach(() => {
  number += 1;
  host = testHost(join(folder, String(number)));
  server = serverOf(host);
});

const tags = ['zdt_1_1700000001', 'zdt_1_1700000002', 'zdt_1_1700000003'] as const;
const [first, second, third] = tags;
const file = (path: string): string => join(host.root.prefix, path);
const journal = (tag: string): string => readFileSync(file(`/var/lib/cmsadm/journal/${tag}.change.jsonl`), 'utf8');
const stage = async (tag: string, text: string): Promise<void> => {
  const change = { ...changeOf(host, { '/etc/hosts': text, '/root/.rhosts': text }), tag };
  await server.stage({ change, part: 'alone' });
};
async function changed(tag: string, text = tag): Promise<void> {
  await stage(tag, text);
  await server.commit({ id: `${tag}.change` });
  await server.confirm({ id: `${tag}.change` });
}
const left = (): string[] => Object.keys(tree(host)).filter((path) => path.includes('.zdt_'));

describe('the backups of a server', () => {
  test('are told with their sizes, oldest tag first', async () => {
    await changed(first);
    await changed(second);
    expect(readBackups(host.root)).toMatchObject([
      {
        ...{ tag: first, operation: 'set up roles', operator: 'ops', state: 'confirmed', pruned: false, edited: [] },
        files: [
          { path: `/etc/hosts.${first}`, bytes: '127.0.0.1 localhost\n'.length },
          { path: `/root/.rhosts.${first}`, bytes: 'old root\n'.length },
        ],
      },
      { tag: second, files: [{ bytes: first.length }, { bytes: first.length }] },
    ]);
  });

  test('of a change that is not settled are told as open', async () => {
    await stage(first, 'new\n');
    await server.commit({ id: `${first}.change` });
    expect(readBackups(host.root)).toMatchObject([{ tag: first, state: 'open' }]);
  });

  test('of a change that was put back are none but the edits that were kept', async () => {
    await stage(first, 'new\n');
    await server.commit({ id: `${first}.change` });
    writeFileSync(file('/etc/hosts'), 'by hand\n');
    await server.putBack({ id: `${first}.change`, by: 'operator' });
    expect(readBackups(host.root)).toMatchObject([
      { state: 'put back', files: [], edited: [`/etc/hosts.${first}.edited`] },
    ]);
  });

  test('whose journal is damaged are left out, and the others told', async () => {
    await changed(first);
    await changed(second);
    writeFileSync(file(`/var/lib/cmsadm/journal/${first}.change.jsonl`), '{"operation":');
    expect(readBackups(host.root).map(({ tag }) => tag)).toEqual([second]);
  });
});

describe('a prune', () => {
  test('takes the backups of the named tags, marks them in the journal, and leaves all else alone', async () => {
    for (const tag of tags) await changed(tag);
    const before = tree(host);
    expect(await server.prune({ tags: [first, second] })).toEqual({
      files: [first, second].flatMap((tag) => [`/etc/hosts.${tag}`, `/root/.rhosts.${tag}`]),
      bytes: '127.0.0.1 localhost\nold root\n'.length + 2 * first.length,
    });
    expect(tree(host)).toEqual(
      Object.fromEntries(Object.entries(before).filter(([path]) => !path.includes(first) && !path.includes(second))),
    );
    expect([first, second, third].map((tag) => journal(tag).includes('"pruned"'))).toEqual([true, true, false]);
    expect(unfinished(host.root)).toEqual([]);
    expect((await server.tags()).map(({ pruned }) => pruned)).toEqual([true, true, false]);
  });

  test('can be repeated: nothing is left to take, and the mark stands once', async () => {
    await changed(first);
    await server.prune({ tags: [first] });
    const marked = journal(first);
    expect(await server.prune({ tags: [first] })).toEqual({ files: [], bytes: 0 });
    expect(journal(first)).toBe(marked);
  });

  test('that was cut off after its mark is finished by the next one', async () => {
    await changed(first);
    const kept = readFileSync(file(`/root/.rhosts.${first}`));
    await server.prune({ tags: [first] });
    writeFileSync(file(`/root/.rhosts.${first}`), kept); // as if the power had failed between the two
    expect(readBackups(host.root)).toMatchObject([{ pruned: true, files: [{ path: `/root/.rhosts.${first}` }] }]);
    expect(await server.prune({ tags: [first] })).toMatchObject({ files: [`/root/.rhosts.${first}`] });
    expect(left()).toEqual([]);
  });

  test('refuses all of it where one change is open, and its backups still put it back', async () => {
    await changed(first);
    await stage(second, 'new\n');
    await server.commit({ id: `${second}.change` });
    const before = tree(host);
    await expect(server.prune({ tags: [first, second] })).rejects.toMatchObject({ code: 'not-settled' });
    expect(tree(host)).toEqual(before);
    await server.putBack({ id: `${second}.change`, by: 'operator' });
    expect(readFileSync(file('/etc/hosts'), 'utf8')).toBe(first);
  });

  test('keeps the edits that were made meanwhile', async () => {
    await changed(first);
    writeFileSync(file(`/etc/hosts.${first}.edited`), 'by hand\n');
    writeFileSync(file(`/etc/hosts.${first}.edited-2`), 'by hand\n');
    expect(readBackups(host.root)[0]?.edited).toHaveLength(2);
    await server.prune({ tags: [first] });
    expect(left()).toEqual([`/etc/hosts.${first}.edited`, `/etc/hosts.${first}.edited-2`]);
  });

  test.each(['../../etc/passwd', '', 'zdt_9_1700000009', '/etc/hosts'])('of %j takes nothing', async (tag) => {
    await changed(first);
    const before = tree(host);
    expect(await server.prune({ tags: [tag] })).toEqual({ files: [], bytes: 0 });
    expect(tree(host)).toEqual(before);
  });

  test('follows no link that was put in the place of a folder', async () => {
    await changed(first);
    const elsewhere = join(folder, `elsewhere-${number}`);
    renameSync(file('/root'), elsewhere);
    symlinkSync(elsewhere, file('/root'));
    await expect(server.prune({ tags: [first] })).rejects.toMatchObject({ code: 'folder-moved' });
    expect(existsSync(join(elsewhere, `.rhosts.${first}`))).toBe(true);
    expect(readJournal(host.root, `${first}.change`).states).toContain('pruned');
  });
});
