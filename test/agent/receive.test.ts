import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { readConflicts } from '../../src/agent/conflicts.ts';
import { holdPlace } from '../../src/agent/place.ts';
import type { Host } from '../../src/host/system.ts';
import { idleAgent, replaceCalls } from './faults.ts';
import {
  cms1,
  cms2,
  kept,
  pairAt,
  placeOf,
  profile,
  savePair,
  tree,
  twoServers,
  verbsOf,
  verbsOfSessions,
  write,
} from './two-servers.ts';

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
  ...more,
});

type Changes = readonly Record<string, unknown>[];
const changes = (list: Changes, more = {}): Record<string, unknown> => ({
  epoch: 1,
  set: 'admin',
  changes: list,
  ...more,
});
let number = 0;
const next = (): number => {
  number += 1;
  return number;
};
const whole = (path: string, content: string, more = {}): Record<string, unknown> => ({
  kind: 'put',
  seq: next(),
  entry: { ...fileEntry(path, content), ...more },
  data: Buffer.from(content, 'latin1').toString('base64'),
});
const folder = (path: string, mode = 0o755): Record<string, unknown> => ({
  kind: 'put',
  seq: next(),
  entry: { type: 'folder', path, ...own, mode },
  data: '',
});
const link = (path: string, target: string): Record<string, unknown> => ({
  kind: 'put',
  seq: next(),
  entry: { type: 'link', path, ...own, target },
  data: '',
});
const removal = (path: string): Record<string, unknown> => ({ kind: 'remove', seq: next(), path });

function call(host: Host): (verb: string, args: unknown) => Promise<unknown> {
  const { verbs } = verbsOf(host);
  return async (verb, args) => verbs[verb]?.(args);
}

/** Everything on a server, so that nothing outside the data set can change unseen. */
const everything = (host: Host): string =>
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
    it.each([
      ['file', whole(path, 'bad')],
      ['folder', folder(path)],
      ['link', link(path, '/etc/passwd')],
      ['removal', removal(path)],
    ])('as a %s changes nothing', async (_type, change) => {
      const two = prepared();
      const before = everything(two);
      expect(await call(two)('agentChanges', changes([change]))).toMatchObject([{ code: 'path-refused' }]);
      expect(everything(two)).toBe(before);
    });
    it('in parts changes nothing', async () => {
      const two = prepared();
      const before = everything(two);
      await expect(call(two)('agentPut', put(fileEntry(path, 'bad'), 'bad'))).rejects.toMatchObject({
        code: 'path-refused',
      });
      expect(everything(two)).toBe(before);
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
    'a change of a kind that nobody knows': [
      'agentChanges',
      changes([{ ...removal('a'), kind: 'x' }]),
      'arguments-refused',
    ],
    'a change with a key that nobody knows': [
      'agentChanges',
      changes([{ ...removal('a'), to: '/' }]),
      'arguments-refused',
    ],
    'a good change with one that is not': ['agentChanges', changes([whole('a', 'x'), {}]), 'arguments-refused'],
    'too many changes': ['agentChanges', changes(Array.from({ length: 101 }, () => removal('a'))), 'arguments-refused'],
    'a link in parts': ['agentPut', put({ type: 'link', path: 'a', ...own, target: 'b' }, ''), 'arguments-refused'],
    'a part that is too large': ['agentPut', put(fileEntry('a', ''), 'x'.repeat(2_000_000)), 'arguments-refused'],
    'a part without a beginning': ['agentPut', put(fileEntry('a', 'x'), 'x', { offset: 10 }), 'arguments-refused'],
  };
  it.each(Object.entries(malformed))('refuses %s', async (_name, [verb, args, code]) => {
    const { two } = twoServers();
    const before = everything(two);
    await expect(call(two)(verb, args)).rejects.toMatchObject({ code });
    expect(everything(two)).toBe(before);
  });

  it.each([
    ['a digest that is not the content', { sha256: sha256('other') }],
    ['a size that is not the content', { size: 7 }],
  ])('takes no file with %s', async (_name, more) => {
    const { two } = twoServers();
    const before = everything(two);
    const refused = { code: 'arguments-refused' };
    expect(await call(two)('agentChanges', changes([whole('a', 'x', more)]))).toMatchObject([refused]);
    expect(await call(two)('agentPut', put({ ...fileEntry('a', 'x'), ...more }, 'x'))).toMatchObject(refused);
    expect(everything(two)).toBe(before);
  });

  it('shows nothing of a file before its last part', async () => {
    const { two } = twoServers();
    write(two, 'a', 'old');
    const send = call(two);
    await send('agentPut', put(fileEntry('a', 'onetwo'), 'one', { seq: undefined }));
    expect(tree(two)['a']).toBe('old');
    await send('agentPut', put(fileEntry('a', 'onetwo'), 'two', { offset: 3 }));
    expect(tree(two)).toEqual({ a: 'onetwo' });
    expect(kept(two)).toEqual([['a', 'old']]);
  });

  it('takes a whole file and other parts between the parts of one, and forgets half a file that begins anew', async () => {
    const { two } = twoServers();
    const send = call(two);
    await send('agentPut', put(fileEntry('a', 'onetwo'), 'one', { seq: undefined }));
    await send('agentPut', put(fileEntry('b', 'xy'), 'x', { seq: undefined }));
    await send('agentChanges', changes([whole('c', 'c')]));
    await send('agentPut', put(fileEntry('a', 'onetwo'), 'two', { offset: 3 }));
    await send('agentPut', put(fileEntry('b', 'z'), 'z'));
    expect(tree(two)).toEqual({ a: 'onetwo', b: 'z', c: 'c' });
    await expect(send('agentPut', put(fileEntry('b', 'xy'), 'y', { offset: 1 }))).rejects.toMatchObject({
      code: 'arguments-refused',
    });
    expect(tree(two)).toEqual({ a: 'onetwo', b: 'z', c: 'c' });
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
    ['agentChanges', (epoch) => changes([whole('b', 'x'), removal('old')], { epoch })],
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
    expect(await call(two)('agentChanges', changes([removal('none')]))).toEqual([true]);
  });

  describe('taking many changes in one message', () => {
    it('does them in their order', async () => {
      const { two } = twoServers();
      write(two, 'was-file', 'x');
      write(two, 'was-folder/inside', 'x');
      const list = [
        removal('was-folder/inside'),
        removal('was-folder'),
        removal('was-file'),
        folder('was-file'),
        folder('f'),
        folder('f/g', 0o700),
        whole('was-folder', 'a file now'),
        whole('was-file/a', '1'),
        whole('f/g/a', '2'),
        link('f/l', 'g/a'),
        whole('again', 'first'),
        whole('again', 'second'),
        removal('again'),
        whole('again', 'third'),
      ];
      expect(await call(two)('agentChanges', changes(list))).toEqual(list.map(() => true));
      expect(tree(two)).toEqual({
        'was-file': '/',
        'was-file/a': '1',
        'was-folder': 'a file now',
        f: '/',
        'f/g': '/',
        'f/g/a': '2',
        'f/l': '->g/a',
        again: 'third',
      });
      const texts = kept(two).filter(([path]) => path === 'again');
      expect(texts.map(([, text]) => text).sort()).toEqual(['first', 'second']);
    });

    it('goes on after a name that it refuses, and answers for each', async () => {
      const { two } = twoServers();
      write(two, 'stands/local.log', 'not carried');
      const list = [
        whole('a', '1'),
        whole('stands', 'a folder stands there'),
        whole('../escaped', 'bad'),
        whole('b', 'bad', { sha256: sha256('other') }),
        link('c', 'd'),
        removal('stands'),
        removal('a/b'),
      ];
      expect(await call(two)('agentChanges', changes(list))).toMatchObject([
        true,
        { code: 'path-refused' },
        { code: 'path-refused' },
        { code: 'arguments-refused' },
        true,
        // Stays: it holds what is not carried.
        false,
        { code: 'path-refused' },
      ]);
      expect(tree(two)).toEqual({ a: '1', c: '->d', stands: '/', 'stands/local.log': 'not carried' });
    });

    it('makes a name of a file that is here only if it is that very file', async () => {
      const { two } = twoServers();
      write(two, 'edited', 'of this server');
      fs.writeFileSync(join(two.root.prefix, 'outside'), 'x');
      const same = (path: string, content: string, of: string) => ({ ...whole(path, content, { same: of }), data: '' });
      const list = [
        whole('a', 'x'),
        same('b', 'x', 'a'),
        same('c', 'y', 'a'),
        same('d', 'x', 'none'),
        same('e', 'x', '../outside'),
        same('f', 'of the primary', 'edited'),
      ];
      expect(await call(two)('agentChanges', changes(list))).toMatchObject([
        true,
        true,
        { code: 'link-refused' },
        { code: 'link-refused' },
        { code: 'path-refused' },
        { code: 'link-refused' },
      ]);
      expect(tree(two)).toEqual({ a: 'x', b: 'x', edited: 'of this server' });
      expect(fs.lstatSync(placeOf(two, 'b')).ino).toBe(fs.lstatSync(placeOf(two, 'a')).ino);
    });

    it('is ended by a role that changes while the disk is busy, and leaves nothing half done', async () => {
      const { two } = twoServers();
      write(two, 'old', 'x');
      const list = [whole('a', '1'), whole('old', '2'), link('l', 'a')];
      const answer = call(two)('agentChanges', changes(list));
      // The message was let in; its files are on their way to the disk.
      savePair(two, pairAt(2));
      await expect(answer).rejects.toMatchObject({ code: 'epoch-older' });
      expect(tree(two)).toEqual({ old: 'x' });
    });

    it('keeps what is edited here while the disk is busy', async () => {
      const { two } = twoServers();
      write(two, 'a', 'as it was');
      const answer = call(two)('agentChanges', changes([whole('a', 'of the primary')]));
      await new Promise((resolve) => setImmediate(resolve));
      fs.writeFileSync(placeOf(two, 'new'), 'of an editor here');
      fs.renameSync(placeOf(two, 'new'), placeOf(two, 'a'));
      expect(await answer).toEqual([true]);
      expect(tree(two)).toEqual({ a: 'of the primary' });
      expect(kept(two).map(([, text]) => text)).toContain('of an editor here');
    });

    it('writes nothing outside of its data set, whatever it is sent', async () => {
      const parts = ['a', 'f', 'out', 'in', '..', '.', '', 'x.log', '\0', 'a.zdt_1_1700000000', '.cmsadm-sync.1.1.1'];
      const path = fc.array(fc.constantFrom(...parts), { minLength: 1, maxLength: 4 }).map((names) => names.join('/'));
      const change = fc.oneof(
        path.map((one) => whole(one, 'sent')),
        path.map((one) => folder(one)),
        fc.tuple(path, fc.constantFrom('../outside', '..', '/etc', 'f')).map(([one, target]) => link(one, target)),
        fc.tuple(path, path).map(([one, same]) => ({ ...whole(one, 'inside', { same }), data: '' })),
        path.map(removal),
      );
      const { two } = twoServers();
      const send = call(two);
      const outside = join(two.root.prefix, 'outside');
      await fc.assert(
        fc.asyncProperty(fc.array(change, { maxLength: 12 }), async (list) => {
          fs.rmSync(join(two.root.prefix, 'admin'), { recursive: true });
          fs.rmSync(outside, { recursive: true, force: true });
          fs.mkdirSync(outside);
          fs.writeFileSync(join(outside, 'a'), 'outside');
          write(two, 'f/a', 'inside');
          fs.symlinkSync('../outside', placeOf(two, 'out'));
          fs.symlinkSync('f', placeOf(two, 'in'));
          const answers = await send('agentChanges', changes(list));
          expect(answers).toHaveLength(list.length);
          expect(fs.readdirSync(outside)).toEqual(['a']);
          expect(fs.readFileSync(join(outside, 'a'), 'latin1')).toBe('outside');
          const top = fs.readdirSync(two.root.prefix).filter((name) => !['run', 'var'].includes(name));
          expect(top.sort()).toEqual(['admin', 'outside']);
          expect(fs.lstatSync(join(outside, 'a')).nlink).toBe(1);
          expect(Object.keys(tree(two)).filter((name) => name.includes('.cmsadm-sync.'))).toEqual([]);
        }),
        { numRuns: 200 },
      );
    });
  });

  it('sweeps what a crash left between writing and renaming', async () => {
    const { two } = twoServers();
    write(two, 'a', 'old');
    // The writing process is gone; what it had ready is still there, whole.
    write(two, '.cmsadm-sync.999999999.1.1', 'new');
    fs.symlinkSync('a', placeOf(two, '.cmsadm-sync.999999999.1.2'));
    await call(two)('agentOpen', { epoch: 1 });
    expect(tree(two)).toEqual({ a: 'old' });
  });
});

describe('an agent that was killed after it had put a file in its place, before it noted that', () => {
  it.each([
    { what: 'knows the file as the primary’s', edited: false, conflicts: 0 },
    { what: 'still tells what somebody wrote there', edited: true, conflicts: 1 },
  ])('$what', async ({ edited, conflicts }) => {
    const { two } = twoServers();
    const index = join(two.root.prefix, 'var/lib/cmsadm/sync/admin.index');
    const first = verbsOf(two);
    expect(await first.verbs['agentChanges']?.(changes([whole('a', 'first')]))).toEqual([true]);
    const before = fs.statSync(index).size;
    expect(await first.verbs['agentChanges']?.(changes([whole('a', 'second')]))).toEqual([true]);
    // The first line of the second change was written before the rename, the last one after it.
    const lines = fs.readFileSync(index, 'latin1').slice(before).trimEnd().split('\n');
    expect(lines).toHaveLength(2);
    fs.truncateSync(index, before + `${lines[0]}\n`.length);
    if (edited) write(two, 'a', 'somebody');
    const again = verbsOf(two);
    expect(await again.verbs['agentChanges']?.(changes([whole('a', 'third')]))).toEqual([true]);
    expect(readConflicts(two)).toHaveLength(conflicts);
    expect(tree(two)).toEqual({ a: 'third' });
  });
});

describe('what is left of a session that was lost', () => {
  it('is refused as soon as the next one is open, also what waits for the disk', async () => {
    const { two } = twoServers();
    const { sessions } = verbsOfSessions(two, 2);
    const [lost, next] = sessions;
    await lost?.['agentOpen']?.({ epoch: 1 });
    // It writes and syncs while the next session opens.
    const late = Promise.resolve(lost?.['agentChanges']?.(changes([whole('a', 'old')]))).catch(
      (error: unknown) => error,
    );
    await next?.['agentOpen']?.({ epoch: 1 });
    const refused = { code: 'session-replaced' };
    await expect(Promise.resolve(lost?.['agentChanges']?.(changes([whole('b', 'old')])))).rejects.toMatchObject(
      refused,
    );
    expect(await next?.['agentChanges']?.(changes([whole('a', 'new')]))).toEqual([true]);
    expect(await late).toMatchObject(refused);
    expect(tree(two)).toEqual({ a: 'new' });
    expect(fs.readdirSync(placeOf(two, ''))).toEqual(['a']);
  });
});

it('a folder that cannot be opened leaves no other one open', () => {
  const { two } = twoServers();
  write(two, 'd/shut/a', 'x');
  const { tree } = idleAgent(two, profile).sets.get('admin') ?? {};
  if (!tree) throw new Error('no such data set');
  const { openSync } = fs;
  replaceCalls({
    openSync: (place, ...how) => {
      if (place.toString().endsWith('/shut')) throw Object.assign(new Error('EIO'), { code: 'EIO', syscall: 'open' });
      return openSync(place, ...how);
    },
  });
  const opened = (): number => fs.readdirSync('/proc/self/fd').length;
  const before = opened();
  expect(() => holdPlace(tree, 'd/shut/a')).toThrow('EIO');
  expect(opened()).toBe(before);
});
