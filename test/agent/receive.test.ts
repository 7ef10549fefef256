import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import type { Host } from '../../src/host/system.ts';
import { cms1, cms2, kept, pairAt, placeOf, savePair, tree, twoServers, verbsOf, write } from './two-servers.ts';

const sha256 = (text: string): string => createHash('sha256').update(text, 'latin1').digest('hex');
const own = { owner: 'root', group: 'root' };

const fileEntry = (path: string, content: string): Record<string, unknown> => ({
  type: 'file',
  path,
  ...own,
  mode: 0o644,
  mtimeMs: 1_700_000_000_000,
  size: content.length,
  sha256: sha256(content),
});

const put = (entry: Record<string, unknown>, content: string, more = {}): Record<string, unknown> => ({
  epoch: 1,
  seq: 1,
  set: 'admin',
  entry,
  offset: 0,
  data: Buffer.from(content, 'latin1').toString('base64'),
  last: true,
  ...more,
});

function call(host: Host): (verb: string, args: unknown) => Promise<unknown> {
  const { verbs } = verbsOf(host);
  return async (verb, args) => verbs[verb]?.(args);
}

/** Everything on a server, so that nothing outside the data set can change unseen. */
const whole = (host: Host): string =>
  JSON.stringify(
    fs
      .readdirSync(host.root.prefix, { recursive: true, withFileTypes: true })
      .map((item) => {
        const path = join(item.parentPath, item.name);
        return `${path} ${item.isFile() ? fs.readFileSync(path, 'latin1') : ''}`;
      })
      .sort(),
  );

describe('the receiving server', () => {
  const hostile: Record<string, string> = {
    'a path that climbs out': '../escaped',
    'a path that climbs out in its middle': 'f/../../escaped',
    'an absolute path': '/etc/escaped',
    'an empty path': '',
    'an empty part': 'f//a',
    'a trailing slash': 'f/',
    'a dot': '.',
    'a dot in the middle': 'f/./a',
    'a NUL': 'a\0b',
    'a character that is no byte': 'a\u0100b',
    'a parent that is a link to a folder outside': 'out/escaped',
    'a parent that is a link to a folder inside': 'in/a',
    'a parent that is a file': 'file/a',
    'a parent that is missing': 'none/a',
    'an excluded name': 'a.log',
    'a name below an excluded one': 'x.log/a',
    'a tagged backup': 'a.zdt_1_1700000000',
    'an edit that was kept': 'a.zdt_1_1700000000.edited',
    'what a change has made ready': '.a.zdt_1_1700000000.staged',
    'a name below a tagged one': 'f.zdt_1_1700000000/a',
    'a temporary name': '.cmsadm-sync.1.1.1',
    'a name that is too long': 'n'.repeat(300),
  };
  describe.each(Object.entries(hostile))('sent %s', (_name, path) => {
    function prepared(): Host {
      const { two } = twoServers();
      write(two, 'f/a', 'inside');
      write(two, 'file', 'a file');
      write(two, 'x.log/b', 'excluded');
      fs.mkdirSync(join(two.root.prefix, 'outside'));
      fs.writeFileSync(join(two.root.prefix, 'outside/escaped'), 'outside');
      fs.writeFileSync(join(two.root.prefix, 'escaped'), 'outside');
      fs.symlinkSync('../outside', placeOf(two, 'out'));
      fs.symlinkSync('f', placeOf(two, 'in'));
      return two;
    }
    const entries: Record<string, Record<string, unknown>> = {
      file: fileEntry(path, 'bad'),
      folder: { type: 'folder', path, ...own, mode: 0o755 },
      link: { type: 'link', path, ...own, target: '/etc/passwd' },
    };
    it.each(Object.entries(entries))('as a %s changes nothing', async (_type, entry) => {
      const two = prepared();
      const before = whole(two);
      await expect(call(two)('agentPut', put(entry, 'bad'))).rejects.toMatchObject({ code: 'path-refused' });
      expect(whole(two)).toBe(before);
    });
    it('to be removed changes nothing', async () => {
      const two = prepared();
      const before = whole(two);
      const args = { epoch: 1, seq: 1, set: 'admin', path };
      await expect(call(two)('agentRemove', args)).rejects.toMatchObject({ code: 'path-refused' });
      expect(whole(two)).toBe(before);
    });
  });

  const malformed: Record<string, [verb: string, args: unknown, code: string]> = {
    nothing: ['agentPut', undefined, 'arguments-refused'],
    'another set': ['agentList', { epoch: 1, set: '../etc', folders: [] }, 'data-set-unknown'],
    'a set named like a property': ['agentList', { epoch: 1, set: '__proto__', folders: [] }, 'data-set-unknown'],
    'a mode that is more than a mode': [
      'agentPut',
      put({ ...fileEntry('a', ''), mode: 0o100644 }, ''),
      'arguments-refused',
    ],
    'a key that nobody knows': ['agentPut', { ...put(fileEntry('a', ''), ''), root: '/' }, 'arguments-refused'],
    'an epoch that is text': ['agentOpen', { epoch: '9' }, 'arguments-refused'],
    'a part that is too large': ['agentPut', put(fileEntry('a', ''), 'x'.repeat(2_000_000)), 'arguments-refused'],
    'a part without a beginning': ['agentPut', put(fileEntry('a', 'x'), 'x', { offset: 10 }), 'arguments-refused'],
    'a digest that is not the content': ['agentPut', put(fileEntry('a', 'x'), 'y'), 'arguments-refused'],
    'a size that is not the content': ['agentPut', put({ ...fileEntry('a', 'x'), size: 7 }, 'x'), 'arguments-refused'],
  };
  it.each(Object.entries(malformed))('refuses %s', async (_name, [verb, args, code]) => {
    const { two } = twoServers();
    const before = whole(two);
    await expect(call(two)(verb, args)).rejects.toMatchObject({ code });
    expect(whole(two)).toBe(before);
  });

  it('shows nothing of a file before its last part', async () => {
    const { two } = twoServers();
    write(two, 'a', 'old');
    const send = call(two);
    await send('agentPut', put(fileEntry('a', 'onetwo'), 'one', { last: false }));
    expect(tree(two)['a']).toBe('old');
    await send('agentPut', put(fileEntry('a', 'onetwo'), 'two', { offset: 3 }));
    expect(tree(two)).toEqual({ a: 'onetwo' });
    expect(kept(two)).toEqual([['a', 'old']]);
  });

  it('forgets half a file when another begins', async () => {
    const { two } = twoServers();
    const send = call(two);
    await send('agentPut', put(fileEntry('a', 'onetwo'), 'one', { last: false }));
    await send('agentPut', put(fileEntry('b', 'x'), 'x'));
    expect(tree(two)).toEqual({ b: 'x' });
    await expect(send('agentPut', put(fileEntry('a', 'onetwo'), 'two', { offset: 3 }))).rejects.toMatchObject({
      code: 'arguments-refused',
    });
  });

  it('replaces a link instead of writing through it', async () => {
    const { two } = twoServers();
    fs.writeFileSync(join(two.root.prefix, 'outside'), 'outside');
    fs.symlinkSync('../outside', placeOf(two, 'a'));
    await call(two)('agentPut', put(fileEntry('a', 'inside'), 'inside'));
    expect(tree(two)).toEqual({ a: 'inside' });
    expect(fs.readFileSync(join(two.root.prefix, 'outside'), 'latin1')).toBe('outside');
  });

  const writes: [verb: string, args: (epoch: number) => unknown][] = [
    ['agentOpen', (epoch) => ({ epoch })],
    ['agentPut', (epoch) => put(fileEntry('a', 'x'), 'x', { epoch })],
    ['agentRemove', (epoch) => ({ epoch, seq: 1, set: 'admin', path: 'old' })],
  ];
  it.each(writes)('lets %s in by its epoch and role only', async (verb, args) => {
    const { two } = twoServers();
    write(two, 'old', 'x');
    const send = call(two);
    savePair(two, pairAt(5));
    await expect(send(verb, args(4))).rejects.toMatchObject({ code: 'epoch-older' });
    savePair(two, pairAt(5, cms2));
    await expect(send(verb, args(5))).rejects.toMatchObject({ code: 'not-secondary' });
    // It has not yet seen why the other one is newer: its own changes must not be overwritten before they are told.
    await expect(send(verb, args(6))).rejects.toMatchObject({ code: 'not-secondary' });
    fs.rmSync(join(two.root.prefix, '/var/lib/cmsadm/pair.json'));
    await expect(send(verb, args(5))).rejects.toMatchObject({ code: 'not-paired' });
    expect(tree(two)).toEqual({ old: 'x' });
    savePair(two, pairAt(5, cms1));
    await send(verb, args(5));
    await send(verb, args(6));
  });

  it('tells its epoch to a caller of any epoch', async () => {
    const { two } = twoServers();
    savePair(two, pairAt(5, cms2));
    expect(await call(two)('heartbeat', { epoch: 1 })).toEqual({
      epoch: 5,
      pair: pairAt(5, cms2),
      settled: true,
      undecided: {},
    });
  });

  it('removes nothing that is not there, and says that it is gone', async () => {
    const { two } = twoServers();
    expect(await call(two)('agentRemove', { epoch: 1, seq: 1, set: 'admin', path: 'none' })).toBe(true);
  });
});
