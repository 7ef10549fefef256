import * as fs from 'node:fs';
import { childEnvironment, type Outcome } from '../host/processes.ts';

/** How a data set's program is run: longest time in seconds, files for its standard input and output, what ends it. */
type RunOptions = {
  readonly seconds: number;
  readonly input?: string;
  readonly output?: string;
  readonly signal?: AbortSignal;
};
export type RunProgram = (argv: readonly string[], options: RunOptions) => Promise<Outcome>;

/** Runs a program of a data set, never through a shell. Its output file is made anew, 0600. */
export const runProgram: RunProgram = async (argv, { seconds, input, output, signal }) => {
  const { execa } = await import('execa');
  const [program = '', ...args] = argv;
  // Made before it is filled: the mode is not to depend on anybody's umask.
  if (output !== undefined) fs.closeSync(fs.openSync(output, 'wx', 0o600));
  const result = await execa(program, args, {
    reject: false,
    timeout: seconds * 1000,
    ...(signal === undefined ? {} : { cancelSignal: signal }),
    ...(input === undefined ? { stdin: 'ignore' } : { inputFile: input }),
    ...(output === undefined ? {} : { stdout: { file: output } }),
    env: { ...childEnvironment, LC_ALL: 'C.UTF-8' },
    extendEnv: false,
  });
  const said = String(result.stderr ?? '') || (result.exitCode === undefined ? String(result.shortMessage ?? '') : '');
  const told = output === undefined ? String(result.stdout ?? '') : '';
  return { stdout: told, stderr: said, exitCode: result.exitCode ?? 127 };
};
