import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterEach, expect, test, vi } from 'vitest';
import { processState } from '../../src/host/process-table.ts';
import { run, runLines } from '../../src/host/processes.ts';

afterEach(() => void vi.unstubAllEnvs());

const cases: Record<string, [argv: string[], outcome: Partial<Awaited<ReturnType<typeof run>>>]> = {
  'output and success': [['sh', '-c', 'echo out; echo err >&2'], { stdout: 'out\n', stderr: 'err\n', exitCode: 0 }],
  'the exit code of a failure, with what it said': [
    ['sh', '-c', 'echo no >&2; exit 3'],
    { stdout: '', stderr: 'no\n', exitCode: 3 },
  ],
  '127 for a program that is not there': [['cmsadm-no-such-program'], { stdout: '', exitCode: 127 }],
  '127 for a program that a signal ended': [['sh', '-c', 'kill -9 $$'], { exitCode: 127 }],
  'the C locale, whatever the operator has': [['sh', '-c', 'echo "$LC_ALL"'], { stdout: 'C\n' }],
  'an input that has ended': [['cat'], { stdout: '', exitCode: 0 }],
  'arguments as they are, without a shell': [['printf', '%s', '$(id) "quoted" *'], { stdout: '$(id) "quoted" *' }],
};

test.each(Object.entries(cases))('tells %s', async (_what, [argv, outcome]) => {
  expect(await run(argv)).toMatchObject(outcome);
});

test('says why a missing program could not be started', async () => {
  expect((await run(['cmsadm-no-such-program'])).stderr).toContain('ENOENT');
});

test('hands on its input, and minds no program that does not read it', async () => {
  const input = 'line\n'.repeat(200_000);
  expect((await run(['cat'], { input })).stdout).toBe(input);
  expect((await run(['sh', '-c', 'exec <&-; exit 4'], { input })).exitCode).toBe(4);
});

test('ends a program whose work nobody wants any more, and tells its lines until then', async () => {
  const lines: string[] = [];
  let end = (): void => {};
  const over = new Promise<void>((resolve) => {
    end = resolve;
  });
  const hear = (line: string): void => {
    lines.push(line);
    end();
  };
  const argv = ['sh', '-c', 'read first; echo "$first"; exec sleep 60'];
  expect(await runLines(argv, Promise.resolve(Buffer.from('told\n')), hear, over)).toBe(127);
  expect(lines).toEqual(['told']);
});

test('ends a program that takes longer than its time', async () => {
  expect((await run(['sleep', '60'], { timeout: 100 })).exitCode).toBe(127);
});

test('ends what such a program started too', async () => {
  const { exitCode, stdout } = await run(['sh', '-c', 'sleep 60 & echo $!; wait'], { timeout: 200 });
  expect(exitCode).toBe(127);
  await expect.poll(() => processState(Number(stdout))).toBeUndefined();
});

// As a terminal does it: the signal goes to the whole foreground process group.
test.each([
  ['run', 'SIGINT'],
  ['run', 'SIGHUP'],
  ['runLines', 'SIGINT'],
] as const)('leaves a program that %s waits for to its work, whoever else %s reaches', async (how, signal) => {
  const waits = fileURLToPath(new URL('waits-for-program.ts', import.meta.url));
  const waiting = spawn(process.execPath, ['--import', 'tsx', waits, how], { detached: true });
  let said = '';
  waiting.stdout.setEncoding('utf8').on('data', (text: string) => {
    if (said === '') setTimeout(() => process.kill(-(waiting.pid ?? 0), signal), 200);
    said += text;
  });
  await once(waiting, 'close');
  expect(said).toBe('began\n3\n');
});

test('waits for no program that is deaf to being ended', async () => {
  const began = performance.now();
  expect((await run(['sh', '-c', 'trap "" TERM; sleep 20'], { timeout: 100 })).exitCode).toBe(127);
  expect(performance.now() - began).toBeLessThan(10_000);
});

test('takes the output of a program that ended in time, though this process stood still until long after', async () => {
  const running = run(['sh', '-c', 'echo out'], { timeout: 300 });
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1_500);
  expect(await running).toMatchObject({ stdout: 'out\n', exitCode: 0 });
});

test('hands on nothing of what stands in our environment', async () => {
  vi.stubEnv('TAR_OPTIONS', '--exclude=*');
  const own = ['LC_ALL=C', 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'];
  expect((await run(['env'])).stdout.trim().split('\n').sort()).toEqual(own);
  const lines: string[] = [];
  const nothing = Promise.resolve(Buffer.alloc(0));
  expect(await runLines(['env'], nothing, (line) => void lines.push(line), new Promise(() => {}))).toBe(0);
  expect(lines.sort()).toEqual(own);
});
