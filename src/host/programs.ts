import { type Outcome, run } from './processes.ts';
import type { Host } from './system.ts';

/** Runs a program of a server, and waits: as `run` does on this machine, unless that server has a way of its own. */
export const runOn = ({ runProgram = run }: Host, ...[argv, options]: Parameters<typeof run>): Promise<Outcome> =>
  runProgram(argv, options);
