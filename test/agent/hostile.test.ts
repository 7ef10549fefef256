// A hostile server at the other end of the line: whatever it says, nothing outside the data set changes, nothing but a
// foreseen error comes back, and the agent goes on.
import * as fs from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CmsadmError } from '../../src/errors.ts';
import type { Host } from '../../src/host/system.ts';
import { pass, placeOf, tree, twoServers, verbsOf, write } from './two-servers.ts';

const names = [
  ...['a', 'f', 'f/a', 'in', 'in/a', 'out', 'out/escaped', 'pipe', 'loop', 'loop/loop', '', '.', '..', '/', '//', 'f/'],
  ...['../escaped', 'f/../../escaped', '/etc/escaped', './a', 'f/./a', 'a\0b', 'a\u0100b', 'a.log', 'cache/x.tmp'],
  ...['.cmsadm-sync.1.1.1', '.cmsadm-sync.bulk/a', 'a.zdt_1_1700000000', '--delete', '-e sh', '-rf', '*', '$(touch x)'],
  ...[
    'two\nlines',
    'carriage\rreturn',
    '\x1b[2J',
    '\xff\xfe',
    '\xc3\x28',
    'x'.repeat(255),
    'x'.repeat(256),
    'd/'.repeat(3000),
  ],
  ...['__proto__', 'constructor', 'toString', 'f/__proto__'],
];
const waysOut = [
  '../escaped',
  '../outside/escaped',
  'f/../../escaped',
  'out/escaped',
  'in/../../escaped',
  '../etc/passwd',
];
const path = fc.oneof(
  { weight: 4, arbitrary: fc.constantFrom(...waysOut) },
  { weight: 4, arbitrary: fc.constantFrom(...names) },
  { weight: 1, arbitrary: fc.string({ unit: 'binary', maxLength: 12 }) },
);
/** Mostly what is in order, so that the rest of a message is reached. */
const mostly = <T>(right: T, others: fc.Arbitrary<T>): fc.Arbitrary<T> =>
  fc.oneof({ weight: 6, arbitrary: fc.constant(right) }, { weight: 1, arbitrary: others });
const odd = fc.oneof(fc.constantFrom(0, -1, 0.5, 2 ** 53, -(2 ** 53), 1e308, 0o10000), fc.integer());
const text = mostly(
  'root',
  fc.oneof(fc.constantFrom('0', 'nobody-here', '-1', '4294967295', '__proto__', ''), fc.string()),
);
const EMPTY = 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855';
const owned = { owner: text, group: text };
const mode = mostly(0o644, odd);
const file = {
  ...{ type: fc.constant('file'), path, ...owned, mode, mtimeMs: mostly(1, odd), size: mostly(0, odd) },
  sha256: mostly(EMPTY, fc.constantFrom('f'.repeat(64), '')),
};
const data = mostly('', fc.constantFrom('eA==', 'eHl6', '!!', 'a'.repeat(1_500_000)));
const entry = fc.oneof(
  fc.record({ type: fc.constant('folder'), path, ...owned, mode }),
  fc.record({ type: fc.constant('link'), path, ...owned, target: fc.oneof(path, fc.constant('/etc/passwd')) }),
  fc.record(file),
  fc.record({ ...file, same: path }),
);
const epoch = mostly(1, fc.constantFrom(0, 2, 1e15));
const set = mostly('admin', fc.constantFrom('../etc', '__proto__', ''));
const seq = mostly(1, odd);
const taken = fc.record({
  ...{ path, ...owned, mode: fc.constantFrom(0, 0o644, 0o4777), mtimeMs: fc.constantFrom(0, 1_700_000_000_000) },
  size: fc.constantFrom(0, 6, 7),
  sign: fc.constantFrom(`f${'A'.repeat(22)}`, 'f~1:2:3:4', 'd'),
});

/** Every verb of the receiving side, with messages that have its form. */
const messages: Record<string, fc.Arbitrary<unknown>> = {
  heartbeat: fc.record({ epoch }),
  agentOpen: fc.record({ epoch }),
  agentEdits: fc.record({ epoch }),
  agentDigests: fc.record({ epoch, set }),
  agentList: fc.record({ epoch, set, folders: fc.array(path, { maxLength: 3 }) }),
  agentAgree: fc.record({
    epoch,
    set,
    folders: fc.array(path, { maxLength: 3 }),
    names: fc.array(path, { maxLength: 3 }),
  }),
  agentChanges: fc.record({
    epoch,
    set,
    changes: fc.array(
      fc.oneof(
        fc.record({ kind: fc.constant('put'), seq, entry, data }),
        fc.record({ kind: fc.constant('remove'), seq, path }),
      ),
      { maxLength: 5 },
    ),
  }),
  agentPut: fc.record(
    { epoch, set, entry: fc.record(file), offset: mostly(0, odd), data, seq },
    { requiredKeys: ['epoch', 'set', 'entry', 'offset', 'data'] },
  ),
  agentApply: fc.record({ epoch, set }),
  agentFetch: fc.record({ epoch, set, path, offset: mostly(0, odd) }),
  agentDecided: fc.record({ epoch, set }),
  agentBulk: fc.record({ epoch, set }),
  agentBulkEnd: fc.record({ epoch, set }),
  agentTake: fc.record({ epoch, set, files: fc.array(taken, { maxLength: 4 }) }),
};

/** A server with names of every kind, and files beside its data set that nobody may touch. */
function prepared(): Host {
  const { two } = twoServers();
  write(two, 'f/a', 'inside');
  write(two, 'a.log', 'excluded');
  for (const [name, content] of [
    ['outside/escaped', 'beside'],
    ['escaped', 'beside'],
    ['etc/passwd', 'root:x:0:0::/root:/bin/sh\n'],
    ['etc/group', 'root:x:0:\n'],
  ] as const) {
    fs.mkdirSync(join(two.root.prefix, name, '..'), { recursive: true });
    fs.writeFileSync(join(two.root.prefix, name), content, { mode: 0o600 });
  }
  fs.symlinkSync('../outside', placeOf(two, 'out'));
  fs.symlinkSync('f', placeOf(two, 'in'));
  fs.symlinkSync('loop', placeOf(two, 'loop'));
  return two;
}

/** Every name in a folder, byte by byte; a link is not followed. */
const namesIn = (folder: Buffer, under = ''): string[] =>
  fs.readdirSync(folder, { withFileTypes: true, encoding: 'latin1' }).flatMap((item) => {
    const name = under + item.name;
    const inside = (): string[] => namesIn(Buffer.concat([folder, Buffer.from(`/${item.name}`, 'latin1')]), `${name}/`);
    return [name, ...(item.isDirectory() ? inside() : [])];
  });

/** All of a server but the data set and what the agent keeps for itself, with contents, modes and owners. */
const beside = (host: Host): string =>
  namesIn(Buffer.from(host.root.prefix))
    .filter((name) => !/^(admin|var|run)(\/|$)/.test(name))
    .sort()
    .map((name) => {
      const place = Buffer.from(join(host.root.prefix, name), 'latin1');
      const { mode, uid, gid, mtimeMs, nlink } = fs.lstatSync(place);
      const isFile = fs.lstatSync(place).isFile();
      return `${name} ${mode} ${uid}:${gid} ${isFile ? `${mtimeMs} ${nlink} ${fs.readFileSync(place, 'latin1')}` : ''}`;
    })
    .join('\n');

describe('whatever a hostile server says', () => {
  it('has a message of every verb here', () => {
    expect(Object.keys(messages).sort()).toEqual(Object.keys(verbsOf(twoServers().two).verbs).sort());
  });

  it.each(Object.keys(messages))(
    'with %s among others, only the data set may change',
    async (mine) => {
      const others = Object.entries(messages).map(([verb, args]) => fc.tuple(fc.constant(verb), args));
      const own = fc.tuple(fc.constant(mine), messages[mine] ?? fc.anything());
      const garbage = fc.tuple(fc.constant(mine), fc.jsonValue());
      const script = fc.array(fc.oneof({ weight: 4, arbitrary: own }, { weight: 1, arbitrary: garbage }, ...others), {
        minLength: 1,
        maxLength: 12,
      });
      await fc.assert(
        fc.asyncProperty(script, async (said) => {
          const host = prepared();
          const before = beside(host);
          const { verbs, end } = verbsOf(host);
          for (const [verb, args] of said)
            try {
              await verbs[verb]?.(args);
            } catch (error) {
              if (!(error instanceof CmsadmError)) throw error;
            }
          end();
          expect(beside(host)).toBe(before);
          expect(fs.readFileSync(placeOf(host, 'a.log'), 'latin1')).toBe('excluded');
          // Nothing half-received is left, and an honest server finds its way.
          expect(fs.readdirSync(placeOf(host, '')).filter((name) => name.startsWith('.cmsadm-sync.'))).toEqual([]);
        }),
        { numRuns: 20 },
      );
    },
    120_000,
  );

  it.each(['\0', 'a\0b', '\u0100', ''])('a link that leads to %j is refused', async (target) => {
    const host = prepared();
    const entry = { type: 'link', path: 'made', owner: 'root', group: 'root', target };
    const changes = [{ kind: 'put', seq: 1, entry, data: '' }];
    await expect(verbsOf(host).verbs['agentChanges']?.({ epoch: 1, set: 'admin', changes })).rejects.toBeInstanceOf(
      CmsadmError,
    );
    expect(fs.readdirSync(placeOf(host, ''))).not.toContain('made');
  });

  it('an honest server brings it back in step', async () => {
    const { one, two } = twoServers();
    write(one, 'f/a', 'honest');
    const { verbs } = verbsOf(two);
    const facts = { owner: 'root', group: 'root' };
    const link = { type: 'link', path: 'f', ...facts, target: '/etc' };
    await verbs['agentChanges']?.({
      epoch: 1,
      set: 'admin',
      changes: [{ kind: 'put', seq: 1, entry: link, data: '' }],
    });
    await verbs['agentAgree']?.({ epoch: 1, set: 'admin', folders: [''], names: ['f', 'f/a'] });
    await pass(one, two);
    expect(tree(two)).toEqual({ f: '/', 'f/a': 'honest' });
  });
});

describe('a file that rsync is said to have brought', () => {
  const facts = {
    owner: '0',
    group: '0',
    mode: 0o4777,
    mtimeMs: 1_700_000_000_000,
    size: 6,
    sign: `f${'A'.repeat(22)}`,
  };
  const take = async (host: Host, path: string): Promise<unknown> =>
    verbsOf(host).verbs['agentTake']?.({ epoch: 1, set: 'admin', files: [{ ...facts, path }] });
  function withOutside(): { two: Host; outside: string } {
    const two = prepared();
    const outside = join(two.root.prefix, 'outside/escaped');
    fs.utimesSync(outside, 1_700_000_000, 1_700_000_000);
    return { two, outside };
  }

  it('is not taken through a link, nor below one', async () => {
    const { two, outside } = withOutside();
    fs.symlinkSync('../outside/escaped', placeOf(two, 'l'));
    expect(await take(two, 'l')).toEqual([]);
    await expect(take(two, 'out/escaped')).rejects.toMatchObject({ code: 'path-refused' });
    expect(fs.statSync(outside).mode & 0o7777).toBe(0o600);
  });

  it('is not given a mode where it has a second name elsewhere', async () => {
    const { two, outside } = withOutside();
    fs.linkSync(outside, placeOf(two, 'second'));
    expect(await take(two, 'second')).toEqual([]);
    expect(fs.statSync(outside).mode & 0o7777).toBe(0o600);
  });

  it('is taken where it is one', async () => {
    const { two } = withOutside();
    write(two, 'one', 'beside');
    fs.utimesSync(placeOf(two, 'one'), 1_700_000_000, 1_700_000_000);
    expect(await take(two, 'one')).toEqual(['one']);
    expect(fs.statSync(placeOf(two, 'one')).mode & 0o7777).toBe(0o4777);
  });
});
