import { execa } from 'execa';
import { CmsadmError } from '../src/errors.ts';

export type RunOptions = {
  readonly input?: string | Uint8Array;
  readonly inputFile?: string;
  readonly timeoutMs?: number;
  /** false: a non-zero exit code is returned instead of thrown. */
  readonly reject?: boolean;
  /** The whole environment; without it this machine's own, in the C locale. */
  readonly env?: Readonly<Record<string, string>>;
};

export type RunResult = { readonly stdout: string; readonly stderr: string; readonly exitCode: number };
export type RunBytes = { readonly stdout: Buffer; readonly stderr: string; readonly exitCode: number };

/**
 * Runs one command of this machine, argv in, untouched bytes out.
 * Throws `lab-command-failed` when it can't be started, times out, or (unless `reject` is false) exits with non-zero.
 */
export async function runBytes(argv: readonly [string, ...string[]], options: RunOptions = {}): Promise<RunBytes> {
  const [file, ...args] = argv;
  const result = await execa(file, args, {
    encoding: 'buffer',
    reject: false,
    stripFinalNewline: false,
    extendEnv: options.env === undefined,
    env: options.env ?? { LC_ALL: 'C' },
    timeout: options.timeoutMs ?? 0,
    ...(options.inputFile === undefined ? { input: options.input ?? '' } : { inputFile: options.inputFile }),
  });
  const stderr = Buffer.from(result.stderr).toString('utf8');
  if (result.exitCode === undefined || (result.exitCode !== 0 && options.reject !== false)) {
    const outcome = result.exitCode === undefined ? result.shortMessage : `exit code ${result.exitCode}`;
    throw new CmsadmError('lab-command-failed', `${argv.join(' ')}: ${outcome}`, {
      details: `${stderr}${Buffer.from(result.stdout).toString('utf8')}`.trim().split('\n').slice(-20),
      remedy: 'Read the lines above; `npm run lab -- status` shows the state of the lab.',
    });
  }
  return { stdout: Buffer.from(result.stdout), stderr, exitCode: result.exitCode };
}

/** As `runBytes`, but text: UTF-8, one final newline taken off. */
export async function run(argv: readonly [string, ...string[]], options: RunOptions = {}): Promise<RunResult> {
  const result = await runBytes(argv, options);
  return {
    ...result,
    stdout: withoutFinalNewline(result.stdout.toString('utf8')),
    stderr: withoutFinalNewline(result.stderr),
  };
}

function withoutFinalNewline(text: string): string {
  return text.endsWith('\n') ? text.slice(0, -1) : text;
}
