import { type ChildProcess, type StdioOptions, spawn } from 'node:child_process';
import type { Readable, Writable } from 'node:stream';
import { CmsadmError } from '../errors.ts';
import { childEnvironment } from '../host/processes.ts';

const mostSaid = 1024 * 1024;

/** A program that works beside us on a stream. */
export type Child = {
  readonly pid: number;
  readonly input: Writable | undefined;
  readonly output: Readable | undefined;
  /** What it wrote to standard error so far, its first megabyte. */
  said(): string;
  hasEnded(): boolean;
  /** Its exit code; 127 where it could not be started or was killed. */
  ended(): Promise<number>;
  kill(): void;
};

/**
 * Starts a program in a process group of its own: Ctrl-C at the terminal is for us, and we end it.
 * @param stdio of standard input and output: `pipe`, `ignore` or an open file
 */
export function startChild(
  argv: readonly string[],
  folder: string,
  stdio: readonly ['pipe' | 'ignore' | number, 'pipe' | 'ignore' | number],
): Child {
  const [program = '', ...args] = argv;
  const options: StdioOptions = [...stdio, 'pipe'];
  const child: ChildProcess = spawn(program, args, {
    cwd: folder,
    env: childEnvironment,
    stdio: options,
    detached: true,
  });
  let said = '';
  let code: number | undefined;
  child.stderr?.setEncoding('latin1').on('data', (text: string) => {
    if (said.length < mostSaid) said += text;
  });
  const ended = new Promise<number>((resolve) => {
    const end = (exitCode: number): void => {
      code = exitCode;
      resolve(exitCode);
    };
    child.once('error', (error) => {
      said += `${error.message}\n`;
      end(127);
    });
    child.once('close', (exitCode) => end(exitCode ?? 127));
  });
  // It may end before it has read all: its exit code tells what came of that.
  child.stdin?.on('error', () => {});
  return {
    pid: child.pid ?? 0,
    input: child.stdin ?? undefined,
    output: child.stdout ?? undefined,
    said: () => said,
    hasEnded: () => code !== undefined,
    ended: () => ended,
    kill: () => void child.kill('SIGKILL'),
  };
}

/** Feeds a program's input, as fast as it reads. */
export async function feed(input: Writable, pieces: AsyncIterable<Buffer>): Promise<void> {
  for await (const piece of pieces)
    if (!input.destroyed && !input.write(piece))
      await new Promise<void>((resolve) => {
        const go = (): void => {
          input.off('drain', go).off('close', go);
          resolve();
        };
        input.on('drain', go).on('close', go);
      });
  input.end();
}

/** What passes through a program: its output, while its input is fed. @throws CmsadmError program-failed */
export async function* through(argv: readonly string[], pieces: AsyncIterable<Buffer>): AsyncGenerator<Buffer> {
  const child = startChild(argv, '/', ['pipe', 'pipe']);
  if (!child.input || !child.output) throw new Error('both were asked for as pipes');
  let failed: unknown;
  const feeding = feed(child.input, pieces).catch((error: unknown) => {
    failed = error;
    child.kill();
  });
  try {
    for await (const piece of child.output) if (Buffer.isBuffer(piece)) yield piece;
    await feeding;
    if (failed !== undefined) throw failed;
    const exitCode = await child.ended();
    if (exitCode !== 0)
      throw new CmsadmError('program-failed', `${argv[0]} failed with ${exitCode}.`, {
        details: child.said().trimEnd().split('\n').slice(-3),
        remedy: 'See what it says; a full disk and a damaged archive are the usual reasons.',
      });
  } finally {
    child.kill();
  }
}
