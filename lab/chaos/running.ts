import { execa } from 'execa';
import { enter, guestEnvironment } from '../guest.ts';
import { guestOf } from '../lifecycle.ts';
import type { ServerName } from '../servers.ts';

/** A command inside a server that goes on while something else happens to it. */
export type Running = {
  /** All that it has said so far, as lines with the time (milliseconds since its start) at which each was begun. */
  readonly said: () => readonly { readonly at: number; readonly text: string }[];
  readonly hasEnded: () => boolean;
  /** Resolves when it has ended, to its exit code; undefined where it was killed, with its server or alone. */
  readonly ended: Promise<number | undefined>;
  readonly milliseconds: () => number;
  /** Lets nsenter(1) go on: it stops itself when the program that it started is stopped. */
  readonly goOn: () => void;
};

/** Starts a command inside a server. Throws `lab-server-off`. */
export function start(server: ServerName, argv: readonly string[]): Running {
  const [file, ...args] = enter(guestOf(server), argv);
  const begun = performance.now();
  const milliseconds = (): number => performance.now() - begun;
  const options = { all: true, reject: false, extendEnv: false, env: guestEnvironment, stdin: 'ignore' } as const;
  const process = execa(file, args, options);
  const lines: { at: number; text: string }[] = [];
  let hanging = '';
  process.all.on('data', (data: Buffer) => {
    const parts = `${hanging}${data.toString()}`.split('\n');
    hanging = parts.pop() ?? '';
    for (const text of parts) lines.push({ at: milliseconds(), text });
  });
  let isEnded = false;
  const ended = process.then(({ exitCode }) => {
    isEnded = true;
    return exitCode;
  });
  return { said: () => lines, hasEnded: () => isEnded, ended, milliseconds, goOn: () => process.kill('SIGCONT') };
}
