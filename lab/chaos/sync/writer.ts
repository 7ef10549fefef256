import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { enter, guestEnvironment } from '../../guest.ts';
import { copyIn, exec } from '../../lab.ts';
import { guestOf } from '../../lifecycle.ts';
import { type PairServer, pair } from '../standing.ts';
import type { Act } from './acts.ts';
import { dataSet, writersFolder } from './tree.ts';

const program = '/root/do-acts.mjs';
const place = `${dataSet}/${writersFolder}`;

/** A program on a server that does to the data set what it is told, act by act. */
export type Writer = {
  /** Resolves to true when the act is done, to false when the program, or its server, is gone. */
  readonly perform: (act: Act) => Promise<boolean>;
  readonly isGone: () => boolean;
  readonly close: () => Promise<void>;
};

/** Brings the writer's program to both servers, and makes its folder on the primary. */
export async function installWriter(primary: PairServer): Promise<void> {
  const source = fileURLToPath(new URL('../../files/do-acts.mjs', import.meta.url));
  for (const server of pair) await copyIn(server, source, program);
  await exec(primary, ['mkdir', '-p', place]);
}

/** Starts the writer inside a server. Throws `lab-server-off`. */
export function startWriter(server: PairServer): Writer {
  const [file, ...args] = enter(guestOf(server), ['/opt/cmsadm/current/node/bin/node', program, place]);
  const process = execa(file, args, {
    reject: false,
    extendEnv: false,
    env: guestEnvironment,
    buffer: { stdout: false },
  });
  let isGone = false;
  let hanging = '';
  const waiting = new Map<number, (done: boolean) => void>();
  const settle = (number: number, done: boolean): void => {
    waiting.get(number)?.(done);
    waiting.delete(number);
  };
  process.stdout.on('data', (data: Buffer) => {
    const lines = `${hanging}${data.toString()}`.split('\n');
    hanging = lines.pop() ?? '';
    for (const line of lines) settle(Number(line), true);
  });
  // What the program can't be told any more, it is not told.
  process.stdin.on('error', () => undefined);
  const ended = process.then(({ stderr }) => {
    isGone = true;
    for (const number of [...waiting.keys()]) settle(number, false);
    return stderr;
  });
  return {
    perform: (act) =>
      new Promise((resolve) => {
        if (isGone) return resolve(false);
        waiting.set(act.number, resolve);
        process.stdin.write(`${JSON.stringify(act)}\n`);
      }),
    isGone: () => isGone,
    close: async () => {
      process.stdin.end();
      const stderr = await ended;
      if (stderr.includes('Error')) throw new Error(`the writer on ${server}: ${stderr}`);
    },
  };
}
