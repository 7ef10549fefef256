import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { CmsadmError } from '../errors.ts';

export type Outcome = { readonly stdout: string; readonly stderr: string; readonly exitCode: number };

/** Where programs are looked for. */
export const searchPath = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'] as const;

/** Whether a program is there to be run. */
export const isInstalled = (program: string): boolean =>
  searchPath.some((folder) => existsSync(`${folder}/${program}`));

/**
 * All that a program gets of an environment, unless who starts it names more: what stands in an operator's, or in the
 * session's that we run in, would change what programs do (TAR_OPTIONS, RSYNC_*, POSIXLY_CORRECT, LD_*).
 */
export const childEnvironment = { LC_ALL: 'C', PATH: searchPath.join(':') } as const;

/** A process that stood still itself (frozen, swapped out) has so long to hear of what ended meanwhile (milliseconds). */
const GRACE = 1_000;
/** As many characters of output are kept; a program that says more is ended. */
const MOST = 256 * 1024 * 1024;

/** Ends what is left of the process group that a program leads. */
export function endGroup({ pid }: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch {
    // Nobody of the group is left.
  }
}

/** Ends a program and what it started; after its end its number may be another's. */
function endRunning(child: ChildProcess, signal: 'SIGTERM' | 'SIGKILL'): void {
  if (child.exitCode === null && child.signalCode === null) endGroup(child, signal);
}

/**
 * Runs a program with an environment of our own and waits; never through a shell. By Node's means alone: set up asks dozens of
 * programs, and execa would take longer (to load, and with each call) than most of them.
 *
 * In a session of its own: Ctrl-C and a lost terminal are for us, who finish the step that waits for the program. (setsid(2);
 * execFile does not hand `detached` on)
 * @param options timeout in milliseconds (default 30,000; 0: none); input for standard input
 * @returns its output whatever its exit code; 127 where the program is missing, or was ended by a signal or the timeout
 */
export const run = (
  argv: readonly string[],
  { timeout = 30_000, input = '' }: { readonly timeout?: number; readonly input?: string | Buffer } = {},
): Promise<Outcome> =>
  new Promise((resolve) => {
    const [program = '', ...args] = argv;
    const began = performance.now();
    // Without descriptors to spare (EMFILE) it has no pipes, only an error.
    const child: ChildProcess = spawn(program, args, { env: childEnvironment, detached: true });
    let isOver = false;
    const said = { stdout: '', stderr: '' };
    const tell = (exitCode: number, why: string): void => {
      clearTimeout(timer);
      resolve({ ...said, stderr: exitCode === 127 && said.stderr === '' ? why : said.stderr, exitCode });
    };
    const end = (): void => {
      isOver = true;
      child.stdout?.destroy();
      child.stderr?.destroy();
      endRunning(child, 'SIGTERM');
      // Deaf to that, or in the kernel: its end is not waited for.
      setTimeout(() => {
        endRunning(child, 'SIGKILL');
        resolve({ stdout: '', stderr: `${program} did not end in its time`, exitCode: 127 });
      }, GRACE).unref();
    };
    const hasStoodStill = (): boolean => performance.now() - began > timeout + GRACE;
    let timer =
      timeout === 0
        ? undefined
        : setTimeout(() => {
            if (hasStoodStill()) timer = setTimeout(end, GRACE);
            else end();
          }, timeout);
    for (const name of ['stdout', 'stderr'] as const)
      child[name]?.setEncoding('utf8').on('data', (text: string) => {
        said[name] += text;
        if (!isOver && said[name].length > MOST) end();
      });
    child.once('error', (error) => tell(127, error.message));
    child.once('close', (code) => tell(isOver ? 127 : (code ?? 127), `Command failed: ${argv.join(' ')}`));
    // It may end without reading all of its input (EPIPE); its exit code tells what came of that.
    child.stdin?.on('error', () => {});
    child.stdin?.end(input);
  });

/**
 * Runs a program, in a session of its own, for as long as it takes, and tells each line of its output as it comes, a
 * character for each byte.
 * @param input for its standard input, which it may have to wait for
 * @param over ends it
 * @returns its exit code; 127 where the program is missing, or was ended by a signal
 */
export const runLines = (
  argv: readonly string[],
  input: Promise<Buffer>,
  line: (text: string) => void,
  over: Promise<unknown>,
): Promise<number> =>
  new Promise((resolve) => {
    const [program = '', ...args] = argv;
    const child: ChildProcess = spawn(program, args, {
      env: childEnvironment,
      stdio: ['pipe', 'pipe', 'ignore'],
      detached: true,
    });
    let rest = '';
    child.stdout?.setEncoding('latin1').on('data', (text: string) => {
      const lines = (rest + text).split('\n');
      rest = lines.pop() ?? '';
      for (const one of lines) line(one);
    });
    child.on('error', () => resolve(127));
    child.on('close', (exitCode) => resolve(exitCode ?? 127));
    child.stdin?.on('error', () => {});
    void input.then((all) => child.stdin?.end(all));
    void over.then(() => endRunning(child, 'SIGTERM'));
  });

/**
 * Like `run`, but a failure is an error.
 * @throws CmsadmError program-failed with the last lines of what it said
 */
export async function runOrFail(argv: readonly string[], options: { readonly timeout?: number } = {}): Promise<string> {
  const outcome = await run(argv, options);
  if (outcome.exitCode === 0) return outcome.stdout;
  throw new CmsadmError('program-failed', `"${argv.join(' ')}" failed with ${outcome.exitCode}.`, {
    details: lastLines(outcome.stderr || outcome.stdout),
  });
}

export const lastLines = (text: string, count = 5): string[] => text.trimEnd().split('\n').slice(-count);
