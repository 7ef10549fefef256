import { spawn } from 'node:child_process';
import { CmsadmError } from '../errors.ts';
import { childEnvironment, endGroup, lastLines } from '../host/processes.ts';
import { at } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { printable } from '../printable.ts';
import { placesOf } from './places.ts';
import type { Version } from './record.ts';

/** Runs a program of a package. @returns undefined after exit code 0, else what went wrong */
export type RunHook = (
  file: string,
  args: readonly string[],
  cwd: string,
  seconds: number,
) => Promise<string | undefined>;

/** Of what a hook says so many characters are kept. */
const MOST = 8192;

/**
 * Runs a hook in a process group of its own, with nothing of our environment and no input. After its time, or its end,
 * nothing of the group goes on.
 */
export const runHook: RunHook = (file, args, cwd, seconds) =>
  new Promise((resolve) => {
    let said = '';
    let isLate = false;
    const child = spawn(file, args, {
      cwd,
      env: childEnvironment,
      stdio: ['ignore', 'pipe', 'pipe'],
      detached: true,
    });
    const end = (): void => endGroup(child, 'SIGKILL');
    const timer = setTimeout(() => {
      isLate = true;
      end();
    }, seconds * 1000);
    const listen = (data: Buffer): void => {
      said = `${said}${data.toString('utf8')}`.slice(-MOST);
    };
    child.stdout.on('data', listen);
    child.stderr.on('data', listen);
    const done = (why: string | undefined): void => {
      clearTimeout(timer);
      end();
      child.stdout.destroy();
      child.stderr.destroy();
      resolve(why === undefined ? undefined : [why, ...lastLines(said)].filter((line) => line !== '').join('\n'));
    };
    child.once('error', (error) => done(error.message));
    // What it said last may still be in the pipe; what it left behind may hold the pipe for ever.
    child.once('exit', (code, signal) =>
      setTimeout(() => {
        if (isLate) done(`it took longer than ${seconds} s and was ended`);
        else done(code === 0 ? undefined : code === null ? `ended by ${signal}` : `exit code ${code}`);
      }, 50),
    );
  });

/** Nothing is run on a folder that stands for a server. */
function runnerOf({ system, runProgram }: Host): RunHook | undefined {
  if (!runProgram) return system.real ? runHook : undefined;
  return async (file, args, _cwd, seconds) => {
    const { exitCode, stderr } = await runProgram([file, ...args], { timeout: seconds * 1000 });
    return exitCode === 0 ? undefined : `exit code ${exitCode}\n${stderr}`;
  };
}

export type HookEvent = 'install' | 'settings' | 'remove';

/**
 * Runs a package's hook, if it has one for this event, in the folder of its version.
 * @throws CmsadmError hook-failed
 */
export async function hookOf(
  host: Host,
  { manifest, folder }: Version,
  event: HookEvent,
  args: readonly string[] = [],
  run: RunHook | undefined = runnerOf(host),
): Promise<void> {
  const hook = manifest.hooks[event];
  if (hook === undefined || run === undefined) return;
  const place = at(host.root, placesOf(manifest.name).version(folder));
  const why = await run(`${place}/${hook.file}`, [event, ...args], place, hook.seconds);
  if (why === undefined) return;
  throw new CmsadmError('hook-failed', `The hook ${hook.file} (${event}) of ${manifest.name} failed.`, {
    file: `${placesOf(manifest.name).version(folder)}/${hook.file}`,
    details: why.split('\n').map((line) => printable(line)),
    remedy: 'Put right what these lines say, or ask who published the package; then run the command again.',
  });
}
