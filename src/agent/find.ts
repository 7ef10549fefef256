import { spawn } from 'node:child_process';
import { childEnvironment } from '../host/processes.ts';
import { type DataSet, leftOutGlobs } from './entry.ts';

/** As long as a look may take (milliseconds). */
const PATIENCE = 600_000;

// What a stamp is made of; no blank in it. Paths have any bytes but the last one.
const RECORD = '%i:%s:%T@:%C@ %P\\0';

/** How find(1) is asked for everything in a folder but what a data set leaves out by its name. */
const findArguments = (base: string, set: DataSet): string[] => [
  base,
  '-mindepth',
  '1',
  '(',
  ...leftOutGlobs(set).flatMap((glob, index) => [...(index === 0 ? [] : ['-o']), '-name', findPattern(glob)]),
  ')',
  '-prune',
  '-o',
  '-printf',
  RECORD,
];

// In ours, brackets and backslashes mean themselves.
const findPattern = (glob: string): string => glob.replace(/[[\]\\]/g, '\\$&');

/**
 * Has find(1) look at everything in a folder, links not followed, parents before what is in them.
 * @param told gets each path in the data set, and a text that differs as soon as anything of it changed
 * @returns false if it did not see everything: there is none, it met what it could not read, or what was just going
 */
export function findAll(
  program: string,
  base: string,
  set: DataSet,
  told: (path: string, found: string) => void,
): Promise<boolean> {
  const child = spawn(program, findArguments(base, set), {
    stdio: ['ignore', 'pipe', 'ignore'],
    env: childEnvironment,
    timeout: PATIENCE,
  });
  let rest = '';
  child.stdout.setEncoding('latin1');
  child.stdout.on('data', (chunk: string) => {
    const text = rest + chunk;
    let start = 0;
    for (let end = text.indexOf('\0'); end !== -1; end = text.indexOf('\0', start)) {
      const blank = text.indexOf(' ', start);
      told(text.slice(blank + 1, end), text.slice(start, blank));
      start = end + 1;
    }
    rest = text.slice(start);
  });
  return new Promise((resolve) => {
    child.once('error', () => resolve(false));
    child.once('close', (code) => resolve(code === 0 && rest === ''));
  });
}
