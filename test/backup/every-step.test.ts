import { execFile } from 'node:child_process';
import { mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
import { beforeAll, describe, expect, test } from 'vitest';
import { tempFolder } from '../packages/temp-folder.ts';

const folder = tempFolder();
const repository = fileURLToPath(new URL('../..', import.meta.url));
// Below the repository, where it finds the packages and the profiles.
const program = join(repository, 'dist/faulty-backup/main.js');

type Call = { readonly call: string; readonly does: 'read' | 'write' | 'act' };
type Told = Call & { readonly at: number; readonly end: 'none' | 'whole'; readonly wrong: readonly string[] };

/** A server with little to save, and a folder for the backup. */
function server(name: string): string {
  const prefix = join(folder, name);
  for (const path of ['etc/one', 'etc/inner/two', 'cms/install/release', 'backup/.keep']) {
    mkdirSync(dirname(join(prefix, path)), { recursive: true });
    writeFileSync(join(prefix, path), `${path}\n`);
  }
  rmSync(join(prefix, 'backup/.keep'));
  return prefix;
}

/** Runs it. @returns the lines that it told, before it was killed perhaps */
async function run(...args: readonly (string | number)[]): Promise<string[]> {
  const stdout = await new Promise<string>((resolve, reject) => {
    execFile(process.execPath, [program, ...args.map(String)], (error, told) =>
      error && error.signal !== 'SIGKILL' ? reject(error) : resolve(told),
    );
  });
  return stdout.split('\n').filter((line) => line !== '');
}

let calls: readonly Call[];
beforeAll(async () => {
  const entry = fileURLToPath(new URL('./faulty-backup.mjs', import.meta.url));
  const options = { bundle: true, platform: 'node', format: 'esm', packages: 'external' } as const;
  buildSync({ ...options, entryPoints: [entry], outfile: program, logLevel: 'warning' });
  const [line = '[]'] = await run(server('counts'), 'count');
  calls = JSON.parse(line);
}, 60_000);

/** Some workers, each with a server of its own, so that all processors have work. */
const shares = Array.from({ length: Math.min(4, availableParallelism()) }, (_, index) => index);

describe('a filesystem backup', () => {
  test('killed before any of its calls leaves what is whole or nothing, log-ins free, and the next one runs', async () => {
    const ends = new Set<string>();
    const wrong: unknown[] = [];
    await Promise.all(
      shares.map(async (share) => {
        const prefix = server(`killed-${share}`);
        const mine = calls.map((_, at) => at).filter((at) => at % shares.length === share);
        // Each tells what the one before it left; the last one is not killed.
        for (const [index, at] of [...mine, calls.length].entries()) {
          const [line = '{}'] = await run(prefix, 'killed', at);
          const told: Told = JSON.parse(line);
          if (index > 0) ends.add(told.end);
          if (told.wrong.length > 0) wrong.push({ ...calls[mine[index - 1] ?? 0], ...told });
        }
        expect(readdirSync(join(prefix, 'backup'))).toHaveLength(1);
      }),
    );
    expect(wrong).toEqual([]);
    expect([...ends].sort()).toEqual(['none', 'whole']);
    expect(calls.length).toBeGreaterThan(60);
  }, 240_000);

  test.each(['ENOSPC', 'EROFS', 'EIO', 'EACCES', 'Ctrl-C', 'fails'])(
    'that meets %s at any of its calls leaves what is whole or nothing, and log-ins free',
    async (kind) => {
      const told = await Promise.all(
        shares.map(async (share) =>
          (await run(server(`${kind}-${share}`), kind, share, shares.length)).map((line): Told => JSON.parse(line)),
        ),
      );
      const all = told.flat();
      expect(all.filter(({ wrong }) => wrong.length > 0)).toEqual([]);
      expect(all.length).toBeGreaterThan(kind === 'fails' ? 1 : 40);
      expect([...new Set(all.map(({ end }) => end))].sort()).toEqual(['none', 'whole']);
    },
    240_000,
  );
});
