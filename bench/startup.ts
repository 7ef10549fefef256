import { spawn } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { profileOfServer } from '../src/profile/load.ts';
import { makePairFolder } from '../src/rehearsal/pair-folder.ts';
import { inTurn, type Measure, median } from './measure.ts';

const programRoot = fileURLToPath(new URL('..', import.meta.url));
const program = join(programRoot, 'dist/cli.js');
const warmUps = 3;
const pairs = 25;

/**
 * How long the program takes to say its version, and to show the first line of its menu, against the same Node doing
 * nothing. Both sides run in turn, each in a fresh process.
 */
export async function benchStartup(): Promise<readonly Measure[]> {
  const folder = mkdtempSync(join(tmpdir(), 'cmsadm-bench-'));
  try {
    await makePairFolder(folder, programRoot);
    const root = join(folder, 'cms1');
    const { title } = profileOfServer(root, programRoot);
    return [
      await against('startup-version', () => untilExit([program, '--version'])),
      await against('startup-menu-line', () => untilLine([program, '--root', root], title)),
    ];
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

async function against(measure: string, ours: () => Promise<number>): Promise<Measure> {
  const bare = (): Promise<number> => untilExit(['-e', '0']);
  await inTurn(warmUps, ours, bare);
  const times = await inTurn(pairs, ours, bare);
  const [own, peer] = [median(times.ours), median(times.peer)];
  return { measure, unit: 'ms', ours: own, peer, ratio: own / peer, n: pairs };
}

/** Milliseconds until a Node process with these arguments has ended well. */
function untilExit(args: readonly string[]): Promise<number> {
  return new Promise((resolve, reject) => {
    const begun = performance.now();
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] });
    child.once('error', reject);
    child.once('exit', (code) => {
      if (code === 0) resolve(performance.now() - begun);
      else reject(new Error(`node ${args.join(' ')} ended with ${code}`));
    });
  });
}

/** Milliseconds until the process has written this line, its input held open; then it is ended. */
function untilLine(args: readonly string[], line: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const begun = performance.now();
    const child = spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] });
    let written = '';
    let seen: number | undefined;
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      written += text;
      if (seen !== undefined || !written.split('\n').slice(0, -1).includes(line)) return;
      seen = performance.now() - begun;
      child.kill('SIGKILL');
    });
    child.once('error', reject);
    // The next run begins only when this process is gone.
    child.once('close', (code) => {
      if (seen !== undefined) resolve(seen);
      else reject(new Error(`the menu ended with ${code} before it showed "${line}"`));
    });
  });
}
