import * as fs from 'node:fs';
import { CmsadmError } from '../errors.ts';
import { codeOf } from './root.ts';
import type { ProcessState } from './system.ts';

/** A file's text, or this other where it is not there. */
export const readOr = (file: string, other: string): string => {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return other; // a file of /proc or /etc that this kernel or distribution does not have
  }
};

/** Empty where there is no such process; whatever else is in the way (EMFILE) must not tell that a living one is none. */
function statOf(pid: number): string {
  try {
    return fs.readFileSync(`/proc/${pid}/stat`, 'utf8');
  } catch (error) {
    if (['ENOENT', 'ESRCH'].includes(codeOf(error))) return '';
    throw error;
  }
}

/** The fields of proc(5) stat from the third on, counted after the name in brackets; none of a process that only waits to be buried. */
function processFields(pid: number): string[] {
  const text = statOf(pid);
  const fields = text.slice(text.lastIndexOf(') ') + 2).split(' ');
  return ['Z', 'X', ''].includes(fields[0] ?? '') ? [] : fields;
}

/** What a process is doing; undefined where there is none. */
export function processState(pid: number): ProcessState | undefined {
  const [letter] = processFields(pid);
  if (letter === undefined) return undefined;
  return letter === 'T' || letter === 't' ? 'stopped' : letter === 'D' ? 'waiting' : 'running';
}

/** When a process began, in ticks since the boot: with its number it names one process only. */
export const processStart = (pid: number): string | undefined => processFields(pid)[19];

function send(pid: number, signal: 'SIGTERM' | 'SIGKILL'): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    // It went a moment ago.
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

/** Sends SIGTERM. */
export const askToLeave = (pid: number): void => send(pid, 'SIGTERM');

/** Kills a process, and waits until it is gone. @throws CmsadmError process-stays */
export async function endProcess(pid: number): Promise<void> {
  const start = processStart(pid);
  if (start === undefined) return;
  send(pid, 'SIGKILL');
  for (let tries = 0; tries < 100; tries += 1) {
    if (processStart(pid) !== start) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new CmsadmError('process-stays', `Process ${pid} could not be ended.`, {
    remedy: `See \`ps -p ${pid}\`: it hangs in the kernel, mostly on a disk.`,
  });
}

/**
 * As the first process sees it: a container's own is mounted over the kernel's, and a hardened service (the agent) is
 * shown the one below. Locks must mean the same to both.
 */
export const bootId = (): string => {
  const file = '/proc/sys/kernel/random/boot_id';
  return (readOr(`/proc/1/root${file}`, '') || readOr(file, 'unknown')).trim();
};
