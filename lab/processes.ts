import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { CmsadmError } from '../src/errors.ts';

/** A process that can't be mistaken for a later one with the same number: pid and start time (proc(5), stat field 22). */
export type ProcessId = { readonly pid: number; readonly startTime: string };

/** The process behind a pid, or undefined when there is none (a zombie counts as none). */
export function identify(pid: number): ProcessId | undefined {
  const stat = readProc(`/proc/${pid}/stat`);
  // The command name, in brackets, may hold spaces and brackets itself: count fields from the last one.
  const fields = stat?.slice(stat.lastIndexOf(')') + 2).split(' ') ?? [];
  const [state] = fields;
  const startTime = fields[19];
  return state === undefined || startTime === undefined || state === 'Z' || state === 'X'
    ? undefined
    : { pid, startTime };
}

export function isAlive(recorded: ProcessId): boolean {
  return identify(recorded.pid)?.startTime === recorded.startTime;
}

/** Kills exactly the recorded processes, as a power cut would, and waits until they are gone. */
export async function end(recorded: readonly ProcessId[]): Promise<void> {
  for (const one of recorded) if (isAlive(one)) process.kill(one.pid, 'SIGKILL');
  continueEntered(recorded);
  await waitUntil(
    () => !recorded.some(isAlive),
    10_000,
    () => `process ${recorded.find(isAlive)?.pid} does not end`,
  );
}

/**
 * A program that was frozen on a server keeps the nsenter that brought it there stopped as well, which then never takes
 * note of its end; and the init of a process namespace ends after all in it. (nsenter(1), pid_namespaces(7))
 */
function continueEntered(recorded: readonly ProcessId[]): void {
  const targets = recorded.map(({ pid }) => `--target=${pid}`);
  for (const name of readdirSync('/proc').filter((one) => /^\d+$/.test(one))) {
    const [program = '', target = ''] = (readProc(`/proc/${name}/cmdline`) ?? '').split('\0');
    if (!program.endsWith('nsenter') || !targets.includes(target)) continue;
    try {
      process.kill(Number(name), 'SIGCONT');
    } catch {} // it has just ended
  }
}

/** The children of a process, by pid. */
export function childrenOf(pid: number): readonly number[] {
  const text = readProc(`/proc/${pid}/task/${pid}/children`) ?? '';
  return text.split(' ').filter(Boolean).map(Number);
}

/** True when the process is PID 1 of a namespace of its own. */
export function isInit(pid: number): boolean {
  return /^NSpid:\t\d+\t1$/m.test(readProc(`/proc/${pid}/status`) ?? '');
}

/** Waits until `met` holds. Throws `lab-timeout` with what `complaint` says after `ms`. */
export async function waitUntil(
  met: () => boolean | Promise<boolean>,
  ms: number,
  complaint: () => string,
  stepMs = 20,
): Promise<void> {
  const deadline = Date.now() + ms;
  while (!(await met())) {
    if (Date.now() > deadline) {
      throw new CmsadmError('lab-timeout', `Waited ${ms / 1000} s: ${complaint()}`, {
        remedy: 'Try `npm run lab -- down`, then `up`.',
      });
    }
    await sleep(stepMs);
  }
}

function readProc(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    // It ended between two looks: that is an answer, not a fault.
    return undefined;
  }
}
