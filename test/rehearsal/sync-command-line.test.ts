// The command line itself, as a process, against a pair of two folders whose agents run here.
import { spawnSync } from 'node:child_process';
import { closeSync, cpSync, existsSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { setUp } from '../../src/commands/setup.ts';
import { paths } from '../../src/pair/state.ts';
import { startAgents } from '../../src/rehearsal/agents.ts';
import { listen } from '../commands/stub-agents.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { pairMaker, type RehearsalPair } from './pair.ts';
import { builtProgram } from './program.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const folder = tempFolder();
let pair: RehearsalPair;
let stop: () => Promise<unknown> = async () => undefined;
beforeAll(async () => {
  const single = await pairMaker(folder);
  pair = single('p');
  const context = pair.context(pair.cms1);
  expect((await setUp(context, pair.answers)).result['outcome']).toBe('done');
  stop = await startAgents(dirname(pair.cms1), context.host.programRoot);
});
afterAll(() => stop());

const cmsadm = [builtProgram(join(folder, 'built'))];
const run = (root: string, ...args: string[]) =>
  execa(process.execPath, [...cmsadm, `--root=${root}`, ...args], {
    cwd: repository,
    reject: false,
    stdin: 'ignore',
    env: { SUDO_USER: 'alice' },
  });
const stateHere = async (): Promise<unknown> =>
  JSON.parse((await run(pair.cms1, 'sync', 'status', '--json')).stdout).servers[0].status?.state;

describe('cmsadm sync', () => {
  test('shows both servers, each by its own agent', async () => {
    await expect.poll(stateHere, { timeout: 30_000 }).toBe('in step');
    const { stdout, exitCode } = await run(pair.cms2, 'sync', 'status');
    expect(exitCode).toBe(0);
    expect(stdout).toMatch(/^cms2\.example\.com \(secondary, epoch 1\)$/m);
    expect(stdout).toMatch(/^cms1\.example\.com \(primary, epoch 1\)\n {2}channel {4}in step$/m);
  });

  test('with --json prints one object and nothing else', async () => {
    writeFileSync(join(pair.cms1, 'cms/admin/new'), 'x');
    const { stdout, exitCode } = await run(pair.cms1, 'sync', 'now', '--json');
    expect(exitCode).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({
      exitCode: 0,
      outcome: 'done',
      passes: [{ set: 'administration', ok: true, why: '' }],
    });
    expect(readFileSync(join(pair.cms2, 'cms/admin/new'), 'utf8')).toBe('x');
  });

  test('steers without asking, and the admin log holds who did', async () => {
    expect((await run(pair.cms1, 'sync', 'pause', '--json')).exitCode).toBe(0);
    expect(JSON.parse((await run(pair.cms1, 'sync', 'status', '--json')).stdout)).toMatchObject({
      servers: [{ status: { paused: { by: 'alice' } } }, {}],
    });
    expect((await run(pair.cms1, 'sync', 'resume')).exitCode).toBe(0);
    const log = readFileSync(join(pair.cms1, 'var/log/cmsadm/admin.log'), 'utf8');
    expect(log).toMatch(/ alice start: sync pause$/m);
    expect(log).toMatch(/ alice outcome: admin-sync paused$/m);
  });

  test('is refused on the secondary, with the name of the primary', async () => {
    const { stdout, exitCode } = await run(pair.cms2, 'sync', 'pause', '--json');
    expect(exitCode).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({
      error: { code: 'not-authority', server: 'cms2.example.com', remedy: 'Run the command on cms1.example.com.' },
    });
  });

  test.each([
    [['sync'], 'cmsadm sync status|now|pause|resume|hold|diff|keep|conflicts|release|log'],
    [['sync', 'stop'], 'sync has no \\"stop\\".'],
    [['sync', 'pause', '--dry-run'], '--dry-run'],
    [['sync', 'status', '--watch', '--json'], '--watch goes without --json'],
    [['sync', 'release'], 'SET: '],
    [['sync', 'log', 'all'], 'sync log --clean'],
    [['sync', 'hold'], '--tag: '],
  ])('tells what is wrong with %j', async (words, text) => {
    const { stdout, exitCode } = await run(pair.cms1, '--json', ...words);
    expect(exitCode).toBe(64);
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'usage' } });
    expect(stdout).toContain(text);
  });

  test.each([
    ['cms1', 'acd_create', 3, 'The application is on'],
    ['cms2', 'acd_create', 3, 'Run it on cms1.example.com.'],
    ['cms2', 'backup', 64, 'Answers are missing'],
  ] as const)('on %s the option %s ends with %i', async (server, option, code, text) => {
    const { stdout, exitCode } = await run(pair[server], option, '--json');
    expect(exitCode).toBe(code);
    expect(stdout).toContain(text);
  });

  const atMenu = async (root: string, ...lines: string[]): Promise<string> =>
    (
      await execa(process.execPath, [...cmsadm, `--root=${root}`], {
        cwd: repository,
        reject: false,
        input: lines.map((line) => `${line}\n`).join(''),
        env: { SUDO_USER: 'alice' },
      })
    ).stdout;

  test('the menu refuses on the secondary what changes administered data, and goes on', async () => {
    const told = await atMenu(pair.cms2, '1', '3', 'q', 'q');
    expect(told).toContain('This server knows of no backup.');
  });

  test('the menu empties the log of full passes only after a yes', async () => {
    const log = join(pair.cms1, 'var/log/cmsadm/sync.log');
    expect(await atMenu(pair.cms1, '12', '10', '10', '', 'q')).toContain(' full pass: ok: ');
    expect(await atMenu(pair.cms1, '12', '10', '10', 'clean', 'n', 'q')).toContain('Nothing was touched.');
    expect(readFileSync(log, 'utf8')).not.toBe('');
    expect(await atMenu(pair.cms1, '12', '10', '10', 'clean', 'y', 'q')).toContain('The log is empty.');
    expect(existsSync(log)).toBe(false);
  });

  test('the menu asks for what may be named: one data set, or all', async () => {
    expect(await atMenu(pair.cms1, '12', '10', '6', '', 'q')).toContain('administration: nothing differs');
    expect(await atMenu(pair.cms1, '12', '10', '6', 'administration', 'q')).toContain(
      'administration: nothing differs',
    );
  });

  test('takes --dry-run of the whole program for a usage error too', async () => {
    expect((await run(pair.cms1, '--dry-run', 'sync', 'pause')).exitCode).toBe(64);
    expect(JSON.parse((await run(pair.cms1, 'sync', 'status', '--json')).stdout)).toMatchObject({
      servers: [{ status: { paused: null } }, {}],
    });
  });

  test('a resume ends the pause, not the hold of a restore', async () => {
    for (const args of [['hold', '--tag=t9'], ['pause']]) await run(pair.cms1, 'sync', ...args);
    const { exitCode, stdout } = await run(pair.cms1, 'sync', 'resume');
    expect(exitCode).toBe(0);
    expect(stdout.replaceAll(/\s+/g, ' ')).toContain(
      'still held for the restore t9, until: cmsadm sync resume --tag t9',
    );
    expect((await run(pair.cms1, 'sync', 'resume', '--tag=t9')).stdout).toContain('admin-sync goes on');
  });

  test('a result that nobody can be told is no success', async () => {
    const full = openSync('/dev/full', 'w');
    const lost = spawnSync(process.execPath, [...cmsadm, `--root=${pair.cms1}`, 'config_HA', 'show', '--json'], {
      cwd: repository,
      stdio: ['ignore', full, 'pipe'],
      encoding: 'utf8',
    });
    closeSync(full);
    expect(lost).toMatchObject({ status: 74, stderr: expect.stringContaining('standard output is lost') });
  });

  test('--json wants a command', async () => {
    const menu = await run(pair.cms1, '--json');
    expect(menu.exitCode).toBe(64);
    expect(JSON.parse(menu.stdout)).toMatchObject({ error: { code: 'usage' } });
  });

  test('an interruption is told; of --watch it is just the end', async () => {
    const watching = run(pair.cms1, 'sync', 'status', '--watch');
    await new Promise<void>((resolve) => watching.stdout?.once('data', () => resolve()));
    watching.kill('SIGINT');
    expect(await watching).toMatchObject({ exitCode: 130, stderr: '' });

    const asking = execa(process.execPath, [...cmsadm, `--root=${pair.cms1}`], { cwd: repository, reject: false });
    asking.stdin.write('9\n');
    await new Promise<void>((resolve) => {
      let text = '';
      asking.stdout.on('data', (data: Buffer) => {
        text += data.toString();
        if (text.includes('Password aging is off.')) resolve();
      });
    });
    asking.kill('SIGINT');
    expect(await asking).toMatchObject({ exitCode: 130, stderr: expect.stringContaining('nothing was touched') });
  });

  test('an interruption while the agent goes on says so, and how to undo it', async () => {
    const stalled = join(folder, 'stalled');
    cpSync(dirname(pair.cms1), stalled, { recursive: true, filter: (path) => !path.endsWith('.sock') });
    const root = join(stalled, 'cms1');
    let isAsked = false;
    const never = (): Promise<never> => {
      isAsked = true;
      return new Promise(() => undefined);
    };
    const end = await listen(join(root, paths.agentSocket), { syncHold: never });
    onTestFinished(end);
    const holding = run(root, 'sync', 'hold', '--tag=t7');
    await expect.poll(() => isAsked, { timeout: 30_000 }).toBe(true);
    holding.kill('SIGINT');
    const { exitCode, stderr } = await holding;
    expect(exitCode).toBe(130);
    expect(stderr.replaceAll(/\s+/g, ' ')).toContain(
      'Interrupted; admin-sync is held for the restore t7 all the same. Next: If it is not to be: cmsadm sync resume --tag t7',
    );
    expect(readFileSync(join(root, paths.adminLog), 'utf8')).toMatch(/ outcome: interrupted; .* all the same$/m);
  });

  test('--watch without a terminal is plain lines, and ends when nobody reads', async () => {
    const watching = run(pair.cms1, 'sync', 'status', '--watch');
    let text = '';
    await new Promise<void>((resolve) => {
      watching.stdout?.on('data', (data: Buffer) => {
        text += data.toString();
        if ((text.match(/\(primary, epoch 1\)/g) ?? []).length >= 2) resolve();
      });
    });
    watching.stdout?.destroy();
    expect(text).not.toContain('\u001b');
    expect((await watching).exitCode).toBe(0);
  });
});
