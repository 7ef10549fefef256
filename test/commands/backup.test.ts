import { execFileSync, spawn } from 'node:child_process';
import * as fs from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { endHold, hold, readHold } from '../../src/agent/paused.ts';
import { places } from '../../src/backup/places.ts';
import { backupOption } from '../../src/backup-operations.ts';
import { backup } from '../../src/commands/backup.ts';
import { backupList } from '../../src/commands/backup-list.ts';
import { backupMaintenance } from '../../src/commands/backup-maintenance.ts';
import { backupPrune } from '../../src/commands/backup-prune.ts';
import { backupRestore } from '../../src/commands/backup-restore.ts';
import { backupShow } from '../../src/commands/backup-show.ts';
import { backupUnblock } from '../../src/commands/backup-unblock.ts';
import { backupVerify } from '../../src/commands/backup-verify.ts';
import type { CommandContext, CommandOutcome } from '../../src/commands/context.ts';
import { CmsadmError, exitCodes } from '../../src/errors.ts';
import { writeState } from '../../src/host/writing.ts';
import { paths, printLink, printPair } from '../../src/pair/state.ts';
import type { Screen } from '../../src/report.ts';
import { pairAt } from '../agent/two-servers.ts';
import { has } from '../backup/has-program.ts';
import { misfits, publishedSchema } from '../doors/json-schema.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { answering, type NewPair, pairMaker, type RehearsalPair, refusalOf } from '../rehearsal/pair.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const folder = tempFolder();
const isRoot = process.getuid?.() === 0;

let make: NewPair;
beforeAll(async () => {
  make = await pairMaker(folder);
}, 60_000);
let pair: RehearsalPair;
let count = 0;
const at = (path: string): string => join(pair.cms1, path);
const put = (path: string, text: string): void => {
  fs.mkdirSync(join(at(path), '..'), { recursive: true });
  fs.writeFileSync(at(path), text);
};
beforeEach(() => {
  count += 1;
  pair = make(`b${count}`);
  put('cms/install/release', 'RELEASE=21.0\nLOAD=21.0.0.1\n');
  put('cms/db/hist/monday', 'calls of monday');
  put('etc/first', 'first');
  fs.linkSync(at('etc/first'), at('etc/second'));
  fs.symlinkSync('first', at('etc/soft'));
  put('etc/spaces and ünicode/file\nname', 'x');
  fs.mkdirSync(at('backup'));
});

afterEach(() => void vi.unstubAllEnvs());

const context = (more: Partial<CommandContext> = {}): CommandContext => pair.context(pair.cms1, more);
const other = { device: '2', path: '/backup' };
const namesIn = (path = 'backup'): string[] => fs.readdirSync(at(path)).sort();
const sizeOf = (name: string): number => fs.statSync(at(`backup/${name}`), { throwIfNoEntry: false })?.size ?? 0;
const only = (): string => namesIn()[0] ?? '';
const fits = (schema: string, { exitCode, result }: CommandOutcome): void =>
  expect(misfits(publishedSchema(schema), { exitCode, ...result })).toEqual([]);
/** Nothing of a backup is under way. */
const expectQuiet = (): void => {
  for (const path of [places.lock, places.begun, places.nologin, places.ownNologin, places.scratch])
    expect(fs.existsSync(at(path)), path).toBe(false);
};
/** Names, kinds, modes, links, times and contents of two folders, as GNU find tells them. */
const listing = (root: string, leaveOut: readonly string[]): string[] =>
  execFileSync(
    'find',
    ['.', ...leaveOut.flatMap((path) => ['-path', path, '-prune', '-o']), '-printf', '%p %y %m %n %l %T@ %s\\0'],
    { cwd: root, encoding: 'latin1' },
  )
    .split('\0')
    .filter((line) => !line.includes(' d '))
    .sort();
const leftOut = ['./cms/db', './backup', './run', './var', './restored', './tmp'];

describe('the filesystem backup', () => {
  test('saves everything but what the profile leaves out, under its name, and is read back', async () => {
    const outcome = await backup(context(), other);
    fits('backup', outcome);
    expect(only()).toMatch(/^CMSADM-21\.0\.0\.1-\d{12}-cms1$/);
    expect(outcome.result).toMatchObject({ outcome: 'done', name: only(), path: `/backup/${only()}`, meanwhile: [] });
    expect(fs.statSync(at(`backup/${only()}`)).size % 10_240).toBe(0);
    expect(fs.statSync(at(`backup/${only()}`)).mode & 0o777).toBe(0o600);
    const shown = await backupShow(context(), { backup: only(), files: '' });
    fits('backup-show', shown);
    const text = JSON.stringify(shown.result['members']);
    expect(text).toContain('"/etc/second"');
    expect(text).toContain('"/cms/db/"');
    expect(text).not.toContain('monday');
    expect(text).not.toContain('/backup/CMSADM');
    expect(fs.readFileSync(at('var/log/cmsadm/backup.log'), 'utf8')).toMatch(
      /: begins, to \/backup\n.*: done: \d+ bytes/,
    );
    fits('backup-list', await backupList(context(), { folder: '/backup' }));
    expectQuiet();
  });

  test.each([
    { format: 'tar' },
    { format: 'tar', compress: 'gzip' },
    { format: 'tar', compress: 'zstd' },
    { format: 'cpio' },
    { format: 'cpio', compress: 'gzip' },
  ])('is restored as it was: %o', async (form) => {
    const { format, compress = 'gzip' } = form;
    const needs = [compress, ...(format === 'cpio' ? ['cpio', 'getfattr', 'setfattr'] : [])];
    if (!needs.every(has)) {
      // Said before anything is begun, where this machine lacks one.
      expect(await refusalOf(backup(context(), { ...other, ...form }))).toMatchObject({ code: 'program-missing' });
      return;
    }
    // What sets times here knows microseconds, so this one can be exact.
    if (format === 'cpio')
      execFileSync('find', ['.', '-exec', 'touch', '--no-dereference', '--date=@1700000000.5', '{}', '+'], {
        cwd: pair.cms1,
      });
    const before = listing(pair.cms1, leftOut);
    fits('backup', await backup(context(), { ...other, ...form }));
    const restored = await backupRestore(context(), { backup: only(), into: '/restored' });
    fits('backup-restore', restored);
    expect(listing(at('restored'), leftOut)).toEqual(before);
    expect(fs.readFileSync(at('restored/etc/second'), 'utf8')).toBe('first');
    expect(fs.readdirSync(at('restored'))).not.toContain('.cmsadm-backup');
    expectQuiet();
  });

  test('is whole whatever the archiver would take from our environment, and so is its restore', async () => {
    vi.stubEnv('TAR_OPTIONS', '--exclude=first --exclude=*.conf');
    put('etc/an.conf', 'x');
    await backup(context(), other);
    await backupRestore(context(), { backup: only(), into: '/restored' });
    expect(fs.readdirSync(at('restored/etc'))).toEqual(expect.arrayContaining(['an.conf', 'first', 'second']));
  });

  test('can be read by the archiver alone', async () => {
    await backup(context(), other);
    const names = execFileSync('tar', ['-tf', at(`backup/${only()}`)], { encoding: 'utf8' }).split('\n');
    expect(names[0]).toBe('./.cmsadm-backup/facts.json');
    expect(names.at(-2)).toBe('./.cmsadm-backup/manifest');
  });

  test('asks for device and path, says why an answer is refused, and leaves at q with nothing done', async () => {
    fs.writeFileSync(at('file'), '');
    fs.writeFileSync(at('cms/db/hist/empty'), '');
    const wrong = async (answers: Record<string, string | string[]>) =>
      refusalOf(backup(context({ ask: answering(answers), yes: false }), {}));
    expect(await wrong({ Device: '3' })).toMatchObject({ details: [expect.stringContaining('"3" is no choice.')] });
    expect(await wrong({ Device: '' })).toMatchObject({ details: [expect.stringContaining('No device was chosen.')] });
    for (const [device, path, why] of [
      ['2', 'backup', '"backup" is no full path.'],
      ['2', '', '"" is no full path.'],
      ['2', '/nowhere', '/nowhere is not there.'],
      ['2', '/file', '/file is no folder.'],
      ['2', '/cms/db/hist', '/cms/db/hist lies on a data disk (/cms/db).'],
      ['1', '/backup', '/backup is a folder.'],
      ['1', '/etc/first', '/etc/first holds something else.'],
      ['1', '/cms/db/hist/empty', '/cms/db/hist/empty lies on a data disk (/cms/db).'],
    ] as const)
      expect(await wrong({ Device: device, Path: path })).toMatchObject({ details: [expect.stringContaining(why)] });
    for (const answers of [{ Device: 'q' }, { Device: '2', Path: 'q' }, { Device: '2', Path: '/backup', Proceed: 'n' }])
      expect(await wrong(answers)).toMatchObject({ result: { outcome: 'declined' } });
    expect(namesIn()).toEqual([]);
    expect(fs.existsSync(at('var/log/cmsadm/backup.log'))).toBe(false);
    expectQuiet();
  });

  test('without a terminal tells all that is missing at once', async () => {
    const refusal = await refusalOf(backup(context(), {}));
    expect(refusal).toMatchObject({
      code: 'usage',
      details: [/^--path: /, /^--device: /].map((one) => expect.stringMatching(one)),
    });
  });

  test('only shows what it would do, with its size, in a dry run', async () => {
    const outcome = await backup(context({ dryRun: true }), other);
    fits('backup', outcome);
    expect(outcome).toMatchObject({ exitCode: exitCodes.pending, result: { expected: { files: expect.any(Number) } } });
    expect(namesIn()).toEqual([]);
  });

  test('refuses a target without room before anything is written', async () => {
    const { host } = context();
    const system = { ...host.system, disk: async () => ({ freeMb: 0, totalMb: 100 }) };
    for (const dryRun of [true, false])
      expect(await refusalOf(backup(context({ host: { ...host, system }, dryRun }), other))).toMatchObject({
        code: 'no-room',
      });
    expect(namesIn()).toEqual([]);
    expectQuiet();
  });

  test('saves what cannot be read by nobody: it fails, and leaves nothing that looks whole', async ({ skip }) => {
    if (isRoot) return skip('root reads everything');
    fs.chmodSync(at('etc/first'), 0);
    expect(await refusalOf(backup(context(), other))).toMatchObject({
      code: 'archiver-failed',
      // How many lines, and whether as a warning, depends on the version of tar.
      details: expect.arrayContaining([expect.stringMatching(/first: .*Cannot open: Permission denied/)]),
    });
    expect(namesIn()).toEqual([]);
    expectQuiet();
  });
});

describe('a backup that is interrupted', () => {
  test('by the operator takes away what it began', async () => {
    const stop = { requested: false };
    const { report } = context();
    const stopping = (text: string) => ({
      ...report,
      step: (step: string) => {
        if (step.startsWith(text)) stop.requested = true;
        return report.step(step);
      },
    });
    for (const when of ['Listing', 'Writing', 'Reading']) {
      stop.requested = false;
      expect(await refusalOf(backup(context({ stop, report: stopping(when) }), other)), when).toMatchObject({
        code: 'interrupted',
        exitCode: exitCodes.interrupted,
      });
      expect(namesIn(), when).toEqual([]);
      expectQuiet();
    }
  });

  test('by a full disk says so, and leaves nothing', async ({ skip }) => {
    if (!isRoot) return skip('only root mounts a small disk');
    for (const form of [{}, { compress: 'gzip' }]) {
      fs.writeFileSync(at('etc/big'), Buffer.from(Array.from({ length: 3_000_000 }, () => Math.random() * 256)));
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=1m', 'none', at('backup')]);
      try {
        expect(await refusalOf(backup(context(), { ...other, ...form }))).toMatchObject({ code: 'disk-full' });
        expect(namesIn()).toEqual([]);
        expectQuiet();
      } finally {
        execFileSync('umount', [at('backup')]);
      }
    }
  });

  test.each(['begins', 'writes'])(
    'by SIGKILL (%s) leaves what the next look takes away, and no archive',
    async (when) => {
      // Enough that it is still at it when it is killed.
      for (let i = 0; i < 40; i += 1) fs.writeFileSync(at(`etc/big${i}`), Buffer.alloc(4_000_000, i));
      const child = spawn(
        process.execPath,
        ['--import', 'tsx', 'src/cli.ts', `--root=${pair.cms1}`, 'backup', '--device=2', '--path=/backup', '--yes'],
        { cwd: repository, stdio: 'ignore' },
      );
      const ended = new Promise((resolve) => child.once('exit', resolve));
      const isThere = (): boolean =>
        fs.existsSync(at(places.begun)) && (when === 'begins' || namesIn().some((name) => sizeOf(name) > 5_000_000));
      while (!isThere() && child.exitCode === null) await new Promise((resolve) => setTimeout(resolve, 2));
      child.kill('SIGKILL');
      await ended;
      expect(namesIn().filter((name) => name.startsWith('CMS'))).toEqual([]);
      expect(fs.existsSync(at('run/nologin'))).toBe(true);
      const outcome = await backupUnblock(context());
      fits('backup-unblock', outcome);
      expect(outcome.result['did']).toContain('new log-ins are possible again');
      expect(namesIn()).toEqual([]);
      expectQuiet();
      fits('backup', await backup(context(), other));
    },
  );
});

describe('a device', () => {
  const device = { device: '1', path: '/dev/tape' };
  beforeEach(() => {
    put('dev/tape', '');
    fs.truncateSync(at('dev/tape'), 4_000_000);
  });

  test('takes an archive in blocks, and gives it back', async () => {
    const before = listing(pair.cms1, [...leftOut, './dev']);
    const outcome = await backup(context(), device);
    fits('backup', outcome);
    expect(outcome.result).toMatchObject({ device: true, target: '/dev/tape' });
    expect(fs.statSync(at('dev/tape')).size).toBe(4_000_000);
    await backupRestore(context(), { backup: '/dev/tape', into: '/restored' });
    expect(listing(at('restored'), [...leftOut, './dev'])).toEqual(before);
    // The same name as a member of the catalogue.
    const verified = await backupVerify(context(), { backup: String(outcome.result['name']) });
    expect(verified.result).toMatchObject({ outcome: 'whole' });
    // It may be written over, and the review says what that is.
    const notes: (readonly string[] | undefined)[] = [];
    const report = {
      ...context().report,
      show: (screen: Screen) => void (screen.kind === 'review' && notes.push(screen.review.notes)),
    };
    fits('backup', await backup(context({ report }), device));
    expect(notes).toEqual([expect.arrayContaining([`Overwrites ${String(outcome.result['name'])}.`])]);
  });

  test('with half a backup on it is told as not whole', async () => {
    await backup(context(), device);
    const tape = fs.readFileSync(at('dev/tape'));
    const stop = { requested: false };
    const { report } = context();
    put('etc/more', 'x'.repeat(100_000));
    const interrupting = {
      ...report,
      step: (text: string) => {
        if (text.startsWith('Reading')) stop.requested = true;
        return report.step(text);
      },
    };
    await refusalOf(backup(context({ stop, report: interrupting }), device));
    const written = fs.readFileSync(at('dev/tape'));
    // Half of the new one, the old one behind it.
    fs.writeFileSync(at('dev/tape'), Buffer.concat([written.subarray(0, 40_960), tape.subarray(40_960)]));
    expect(await refusalOf(backupVerify(context(), { backup: '/dev/tape' }))).toMatchObject({
      code: 'archive-damaged',
    });
  });
});

describe('what was made', () => {
  test.each(['tar', 'cpio'])('by %s is known as damaged, with the file that is', async (format) => {
    if (format === 'cpio' && !has('cpio')) return;
    put('etc/target', 'y'.repeat(5000));
    await backup(context(), { ...other, format });
    const file = at(`backup/${only()}`);
    const bytes = fs.readFileSync(file);
    const place = bytes.indexOf('y'.repeat(100)) + 1234;
    bytes[place] = (bytes[place] ?? 0) ^ 4;
    fs.writeFileSync(file, bytes);
    const outcome = await backupVerify(context(), { backup: only() });
    fits('backup-verify', outcome);
    expect(outcome).toMatchObject({ exitCode: exitCodes.needsPerson, result: { damaged: ['/etc/target'] } });
    expect(await refusalOf(backupRestore(context(), { backup: only(), into: '/restored' }))).toMatchObject({
      code: 'archive-damaged',
      details: ['/etc/target'],
    });
    expect(fs.existsSync(at('restored'))).toBe(false);
    expectQuiet();
  });

  test('is pruned by a rule, the files with it', async () => {
    await backup(context(), other);
    const { host } = context();
    const later = { ...host, system: { ...host.system, clock: () => Date.now() + 86_400_000 } };
    await backup(context({ host: later }), other);
    const [first = '', second = ''] = namesIn();
    const pending = await backupPrune(context({ dryRun: true }), { keep: '1', days: '0' });
    fits('backup-prune', pending);
    expect(pending.result).toMatchObject({ outcome: 'pending', goes: [{ name: first }] });
    fits('backup-prune', await backupPrune(context(), { keep: '1', days: '0' }));
    expect(namesIn()).toEqual([second]);
    expect((await backupPrune(context(), { keep: '1', days: '0' })).result).toMatchObject({ outcome: 'nothing' });
  });
});

describe('a restore', () => {
  test('of single files brings what they are names of, and their folders', async () => {
    await backup(context(), other);
    const outcome = await backupRestore(context(), {
      backup: only(),
      into: '/restored',
      files: '/etc/second,cms/install/',
    });
    fits('backup-restore', outcome);
    expect(fs.readdirSync(at('restored/etc')).sort()).toEqual(['first', 'second']);
    expect(fs.readFileSync(at('restored/cms/install/release'), 'utf8')).toContain('LOAD');
    expect(
      await refusalOf(backupRestore(context(), { backup: only(), into: '/other', files: '/etc/none' })),
    ).toMatchObject({
      code: 'not-in-backup',
    });
    const outside = { backup: only(), into: '/other', files: '/etc/second,../../etc' };
    expect(await refusalOf(backupRestore({ ...context(), dryRun: true }, outside))).toMatchObject({
      details: [expect.stringContaining('"../../etc" is no path of a backup.')],
    });
  });

  test('over a mounted root changes chosen files and keeps what they replace under the tag', async () => {
    await backup(context(), other);
    put('mnt/root/etc/first', 'edited');
    const outcome = await backupRestore(context(), {
      backup: only(),
      over: '/mnt/root',
      files: '/etc/first,/etc/hosts',
    });
    fits('backup-restore', outcome);
    expect(fs.readFileSync(at('mnt/root/etc/first'), 'utf8')).toBe('first');
    expect(fs.existsSync(at('mnt/root/etc/hosts'))).toBe(true);
    const kept = fs.readdirSync(at('mnt/root/etc')).find((name) => name.startsWith('first.zdt_'));
    expect(fs.readFileSync(at(`mnt/root/etc/${kept}`), 'utf8')).toBe('edited');
    expect(fs.readdirSync(at('mnt/root'))).toEqual(['etc']);
  });

  test('of all over a mounted root overwrites, and removes nothing', async () => {
    await backup(context(), other);
    put('mnt/root/etc/first', 'edited');
    put('mnt/root/etc/mine', 'mine');
    fits('backup-restore', await backupRestore(context(), { backup: only(), over: '/mnt/root' }));
    expect(fs.readFileSync(at('mnt/root/etc/first'), 'utf8')).toBe('first');
    expect(fs.readFileSync(at('mnt/root/etc/mine'), 'utf8')).toBe('mine');
    expect(fs.readdirSync(at('mnt/root'))).not.toContain('.cmsadm-restoring');
  });

  test('over the server that runs wants its name', async () => {
    await backup(context(), other);
    put('etc/first', 'edited');
    for (const server of [undefined, 'cms2'])
      expect(
        JSON.stringify(
          await refusalOf(backupRestore(context(), { backup: only(), over: '/', files: '/etc/first', server })),
        ),
      ).toMatch(/restore-over-running|answers-refused/);
    expect(fs.readFileSync(at('etc/first'), 'utf8')).toBe('edited');
    await backupRestore(context(), { backup: only(), over: '/', files: '/etc/first', server: 'cms1' });
    expect(fs.readFileSync(at('etc/first'), 'utf8')).toBe('first');
  });

  describe('over data that admin-sync sends', () => {
    const restoring = { over: '/', server: 'cms1' };
    const own = { address: '192.0.2.11', fqdn: 'cms1.example.com', hostname: 'cms1' };
    const peer = { address: '192.0.2.12', fqdn: 'cms2.example.com', hostname: 'cms2' };
    const queues = (): string => fs.readFileSync(at('cms/admin/queues'), 'utf8');
    const holding = () => readHold(context().host.root)?.tag;
    type Call = { verb: string; tag: unknown; queues: string; tagOfFile: string | undefined };
    /** A backup of a primary, whose agent answers; then its administration was edited. */
    async function paired(primary = own) {
      const { root } = context().host;
      put('cms/admin/queues', 'saved');
      await backup(context(), other);
      fs.writeFileSync(at('cms/admin/queues'), 'edited');
      writeState(
        root,
        paths.link,
        printLink({
          ...{ self: own, peer: { ...peer, port: 22, hostKeys: [] }, tag: 'zdt_1_1700000000' },
          ...{ broughtProgram: false, broughtFiles: [] },
        }),
      );
      writeState(root, paths.pair, printPair({ ...pairAt(1), primary, secondary: primary === own ? peer : own }));
      const calls: Call[] = [];
      const agent = async (verb: string, args: unknown): Promise<unknown> => {
        const { tag, by } = { by: 'ops', ...(args as { tag?: string; by?: string } | undefined) };
        if (verb === 'syncHold' && tag !== undefined) hold(context().host, tag, by);
        calls.push({ verb, tag, queues: queues(), tagOfFile: holding() });
        if (verb === 'syncResume' && tag !== undefined) endHold(context().host, tag);
        return [{ set: 'administration', ok: true, why: '', sent: 1, removed: 0, bytes: 5, milliseconds: 1 }];
      };
      const withAgent = (more: Partial<CommandContext> = {}, answers = agent) => {
        const one = context(more);
        return { ...one, host: { ...one.host, callAgent: answers } };
      };
      return { calls, withAgent };
    }
    const tag = expect.stringMatching(/^backup-zdt_\d+_\d+$/);

    test.each([undefined, '/cms/admin', '/cms', '/etc/hosts,/cms/admin/queues'])(
      'holds it until all is in its place, and ends with its full pass (%s)',
      async (files) => {
        const { calls, withAgent } = await paired();
        await backupRestore(withAgent(), { backup: only(), ...restoring, ...(files ? { files } : {}) });
        expect(calls).toEqual([
          { verb: 'syncHold', tag, queues: 'edited', tagOfFile: tag },
          { verb: 'syncResume', tag, queues: 'saved', tagOfFile: tag },
        ]);
        expect(pair.lines).toContain('[passes]');
        expectQuiet();
      },
    );

    test('does not hold it for other files, other places, or on the secondary', async () => {
      const { calls, withAgent } = await paired();
      await backupRestore(withAgent(), { backup: only(), ...restoring, files: '/etc/hosts' });
      await backupRestore(withAgent(), { backup: only(), into: '/restored' });
      put('mnt/root/etc/first', 'edited');
      await backupRestore(withAgent(), { backup: only(), over: '/mnt/root' });
      writeState(context().host.root, paths.pair, printPair({ ...pairAt(2), primary: peer, secondary: own }));
      await backupRestore(withAgent(), { backup: only(), ...restoring, files: '/cms/admin' });
      expect(calls).toEqual([]);
    });

    test('lets it go on after Ctrl-C, with all put back', async () => {
      const { calls, withAgent } = await paired();
      const { report } = context();
      const stop = { requested: false };
      const stopping = {
        ...report,
        step: (text: string) => {
          if (text.startsWith('Putting')) stop.requested = true;
          return report.step(text);
        },
      };
      const interrupted = backupRestore(withAgent({ stop, report: stopping }), { backup: only(), ...restoring });
      expect(await refusalOf(interrupted)).toMatchObject({ code: 'interrupted' });
      expect(calls.map(({ verb, queues: seen }) => [verb, seen])).toEqual([
        ['syncHold', 'edited'],
        ['syncResume', 'edited'],
      ]);
      expectQuiet();
    });

    test.each(['agent-not-running', 'not-connected', 'not-in-step'])(
      'ends its hold whatever is in the way of the pass: %s',
      async (code) => {
        const { withAgent } = await paired();
        const held: unknown[] = [];
        const answers = async (verb: string): Promise<unknown> => {
          held.push([verb, holding()]);
          throw new CmsadmError(code, 'Not now.');
        };
        await backupRestore(withAgent({}, answers), { backup: only(), ...restoring });
        expect(queues()).toBe('saved');
        // Then a pass is asked for without waiting.
        expect(held).toEqual([
          ['syncHold', undefined],
          ['syncResume', tag],
          ['syncResume', undefined],
        ]);
        expect(holding()).toBeUndefined();
        expect(pair.lines.join('\n')).toContain('Admin-sync goes on');
      },
    );

    test('leaves alone what an operator holds, and ends what a dead restore held', async () => {
      const { calls, withAgent } = await paired();
      const { host } = context();
      hold(host, 'r1', 'bob');
      await backupRestore(withAgent(), { backup: only(), ...restoring });
      expect(calls).toEqual([]);
      await backupUnblock(withAgent());
      expect(holding()).toBe('r1');
      endHold(host, 'r1');
      hold(host, 'backup-zdt_1_2', 'bob');
      expect((await backupUnblock(withAgent())).result['did']).toEqual([
        'admin-sync, held for the restore by bob, goes on with a full pass',
      ]);
      expect(holding()).toBeUndefined();
      expect(calls.map(({ verb, tag: given }) => [verb, given])).toEqual([['syncResume', undefined]]);
    });

    test('that is killed while it holds it is settled with the sync going on', async () => {
      const { calls, withAgent } = await paired();
      // As SIGKILL leaves it: the hold, and what was begun over this root.
      hold(context().host, 'backup-zdt_9_9', 'ops');
      fs.mkdirSync(at('.cmsadm-restoring'));
      writeState(context().host.root, places.begun, JSON.stringify({ parts: [], over: pair.cms1 }));
      await backupUnblock(withAgent());
      expect(fs.existsSync(at('.cmsadm-restoring'))).toBe(false);
      expect(holding()).toBeUndefined();
      expect(calls.map(({ verb }) => verb)).toEqual(['syncResume']);
      expectQuiet();
    });
  });

  test('goes into no folder that holds something, and leaves none when it fails', async () => {
    await backup(context(), other);
    for (const into of ['/etc', '/no/where', 'restored', '/', '/etc/first', '/a/../b'])
      expect(JSON.stringify(await refusalOf(backupRestore(context(), { backup: only(), into }))), into).toContain(
        'new or empty folder',
      );
    fs.mkdirSync(at('restored'));
    await backupRestore(context(), { backup: only(), into: '/restored' });
    expect(fs.existsSync(at('restored/etc/first'))).toBe(true);
  });

  test('that is interrupted leaves no folder', async () => {
    await backup(context(), other);
    const { report } = context();
    for (const when of ['Reading', 'Restoring']) {
      const stop = { requested: false };
      const stopping = {
        ...report,
        step: (text: string) => {
          if (text.startsWith(when)) stop.requested = true;
          return report.step(text);
        },
      };
      const refusal = await refusalOf(
        backupRestore(context({ stop, report: stopping }), { backup: only(), into: '/restored' }),
      );
      expect(refusal, when).toMatchObject({ code: 'interrupted' });
      expect(fs.readdirSync(pair.cms1).filter((name) => name.includes('restor'))).toEqual([]);
      expectQuiet();
    }
  });
});

describe('the maintenance backup', () => {
  test('saves historical data in full, then what changed, and a restore needs both', async () => {
    const level = (one: string) => ({ ...other, level: one });
    expect(await refusalOf(backupMaintenance(context(), level('2')))).toMatchObject({ code: 'no-full-backup' });
    put('cms/db/hist/goes', 'soon');
    fits('backup', await backupMaintenance(context(), level('full')));
    const [full = ''] = namesIn();
    expect(full).toMatch(/^CMSMNT-F-/);
    put('cms/db/hist/tuesday', 'calls of tuesday');
    fs.rmSync(at('cms/db/hist/goes'));
    await new Promise((resolve) => setTimeout(resolve, 1100));
    const made = await backupMaintenance(context(), level('incremental'));
    fits('backup', made);
    expect(made.result).toMatchObject({ kind: 'incremental', of: full });
    const second = String(made.result['name']);
    const shown = JSON.stringify((await backupShow(context(), { backup: second, files: '' })).result['members']);
    expect(shown).toContain('tuesday');
    expect(shown).not.toContain('monday');
    fits('backup-restore', await backupRestore(context(), { backup: second, into: '/restored' }));
    expect(fs.readdirSync(at('restored/cms/db/hist')).sort()).toEqual(['monday', 'tuesday']);
    fs.rmSync(at(`backup/${full}`));
    expect(await refusalOf(backupRestore(context(), { backup: second, into: '/again' }))).toMatchObject({
      code: 'full-backup-missing',
    });
  });
});

describe('a maintenance backup on a device', () => {
  const to = (path: string, level: string) => backupMaintenance(context(), { device: '1', path, level });
  beforeEach(() => {
    for (const path of ['dev/tape', 'dev/other']) {
      put(path, '');
      fs.truncateSync(at(path), 1_000_000);
    }
  });

  test('is not written over the full one that it stands on, whatever its device is called', async () => {
    const full = String((await to('/dev/tape', 'full')).result['name']);
    const whole = fs.readFileSync(at('dev/tape'));
    fs.linkSync(at('dev/tape'), at('dev/same'));
    for (const path of ['/dev/tape', '/dev/same'])
      expect(await refusalOf(to(path, 'incremental'))).toMatchObject({
        code: 'overwrites-its-full-backup',
        message: `${path} holds ${full}, without which this backup cannot be restored.`,
        exitCode: exitCodes.refused,
      });
    expect(fs.readFileSync(at('dev/tape')).equals(whole)).toBe(true);
    expectQuiet();
    put('cms/db/hist/tuesday', 'calls of tuesday');
    const second = String((await to('/dev/other', 'incremental')).result['name']);
    await backupRestore(context(), { backup: second, into: '/restored' });
    expect(fs.readdirSync(at('restored/cms/db/hist')).sort()).toEqual(['monday', 'tuesday']);
  });

  test('takes the same drive where another tape is in it', async () => {
    await to('/dev/tape', 'full');
    fs.renameSync(at('dev/tape'), at('dev/away'));
    fs.renameSync(at('dev/other'), at('dev/tape'));
    fits('backup', await to('/dev/tape', 'incremental'));
  });
});

describe('option 3 at the menu', () => {
  const atMenu = (answers: Record<string, string | string[]>) =>
    (backupOption.atMenu ?? backupOption.operation).run(context({ ask: answering(answers), yes: false }), {});
  const target = { Device: '2', Path: '/backup', Proceed: 'y' };

  test('makes a backup where just Enter is typed', async () => {
    expect(await atMenu(target)).toMatchObject({ result: { outcome: 'done', name: only() } });
  });

  test('leads to the list, to what a backup is, to its verification and to pruning', async () => {
    await backup(context(), other);
    expect(await atMenu({ What: '3' })).toMatchObject({ result: { outcome: 'listed' } });
    for (const [task, backupTyped] of [
      ['4', '1'],
      ['show', only()],
    ] as const)
      expect(await atMenu({ What: task, Backup: backupTyped })).toMatchObject({ result: { outcome: 'shown' } });
    expect(await atMenu({ What: '5', Backup: '1' })).toMatchObject({ result: { outcome: 'whole' } });
    expect(await atMenu({ What: '7', 'Keep how': '1', 'Keep also': '0' })).toMatchObject({
      result: { outcome: 'nothing' },
    });
    expect(await atMenu({ What: '2', Maintenance: '1', ...target })).toMatchObject({ result: { kind: 'full' } });
  });

  test('restores into a folder or over a root, some files or all', async () => {
    await backup(context(), other);
    const restoring = { What: '6', Backup: '1', Proceed: 'y' };
    const into = await atMenu({ ...restoring, New: '/restored', Only: '/etc/first' });
    expect(into).toMatchObject({ result: { outcome: 'done', how: 'into', paths: ['/etc/first'] } });
    expect(fs.readFileSync(at('restored/etc/first'), 'utf8')).toBe('first');
    expect(fs.existsSync(at('restored/etc/hosts'))).toBe(false);
    put('mnt/root/etc/first', 'edited');
    const over = await atMenu({ ...restoring, Restore: '2', Mounted: '/mnt/root' });
    expect(over).toMatchObject({ result: { outcome: 'done', how: 'over', kept: [] } });
    expect(fs.readFileSync(at('mnt/root/etc/first'), 'utf8')).toBe('first');
  });

  test('says why an answer is refused, and can be left at every question', async () => {
    await backup(context(), other);
    for (const [answers, why] of [
      [{ What: '8' }, '"8" is no choice.'],
      [{ What: '6', Backup: '2' }, '"2" is no backup that this server knows.'],
      [{ What: '6', Backup: '1', Restore: '3' }, '"3" is no choice.'],
      [{ What: '6', Backup: '1', Restore: '2', Mounted: '/nowhere' }, '/nowhere is no folder.'],
      [{ What: '6', Backup: '1', New: '/restored', Only: '/a/../b' }, '"/a/../b" is no path of a backup.'],
      [{ What: '7', 'Keep how': '0' }, '"0" is no such number.'],
    ] as const)
      expect(await refusalOf(atMenu(answers)), why).toMatchObject({ details: [expect.stringContaining(why)] });
    for (const answers of [
      { What: 'q' },
      { What: '4', Backup: 'q' },
      { What: '5', Backup: 'q' },
      { What: '6', Backup: 'q' },
      { What: '6', Backup: '1', Restore: 'q' },
      { What: '6', Backup: '1', Restore: '2', Mounted: 'q' },
      { What: '6', Backup: '1', Restore: '2', Mounted: '/', Type: 'q' },
      { What: '6', Backup: '1', New: '/restored', Only: 'q' },
      { What: '7', 'Keep how': 'q' },
      { What: '7', 'Keep how': '1', 'Keep also': 'q' },
    ])
      expect(await atMenu(answers)).toMatchObject({ result: { outcome: 'declined' } });
    expect(namesIn()).toEqual([only()]);
    expectQuiet();
  });
});
