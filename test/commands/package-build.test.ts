import { execFileSync } from 'node:child_process';
import { chmodSync, chownSync, cpSync, mkdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { beforeAll, describe, expect, test } from 'vitest';
import { misfits, publishedSchema } from '../doors/json-schema.ts';
import { tempFolder } from '../packages/temp-folder.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const history = 'external_call_history';
const folder = tempFolder();
// Nobody, where the tests are run by root; else who runs them.
const user = process.getuid?.() === 0 ? { uid: 65534, gid: 65534 } : {};
const isReadable = (): boolean => {
  try {
    execFileSync(
      'test',
      ['-r', join(repository, 'src/cli.ts'), '-a', '-r', join(repository, 'node_modules/tsx')],
      user,
    );
    return true;
  } catch {
    return false;
  }
};
const source = join(folder, history);
const key = join(folder, 'key.pem');

/** `cmsadm` on this very machine, and not in a rehearsal. */
async function cmsadm(...args: string[]): Promise<{ exitCode: number | undefined; stdout: string; stderr: string }> {
  const { exitCode, stdout, stderr } = await execa(
    process.execPath,
    ['--import', 'tsx', join(repository, 'src/cli.ts'), ...args],
    { ...user, cwd: repository, reject: false, stdin: 'ignore' },
  );
  return { exitCode, stdout, stderr };
}

beforeAll(() => {
  chmodSync(folder, 0o755);
  cpSync(join(repository, 'fixtures/packages', history), source, { recursive: true });
  cpSync(join(repository, 'fixtures/keys/test-signing.pem'), key);
  mkdirSync(join(folder, 'out'));
  if (user.uid !== undefined) chownSync(join(folder, 'out'), user.uid, user.gid);
});

describe.skipIf(!isReadable())('cmsadm package build', () => {
  test('makes a package for any user, and leaves nothing but that', async () => {
    const log = '/var/log/cmsadm/admin.log';
    const written = () => statSync(log, { throwIfNoEntry: false })?.mtimeMs;
    const before = written();
    const out = join(folder, 'out/history.zip');
    const args = ['package', 'build', source, `--key=${key}`, `--out=${out}`, '--yes', '--json'];
    const { exitCode, stdout, stderr } = await cmsadm(...args);
    expect(exitCode, stderr + stdout).toBe(0);
    const told: unknown = JSON.parse(stdout);
    expect(misfits(publishedSchema('package_build'), told)).toEqual([]);
    expect(readFileSync(out).subarray(0, 2).toString()).toBe('PK');
    expect(written()).toBe(before);
  });

  test('says where it may not write', async ({ skip }) => {
    if (user.uid === undefined) return skip('nobody can be had only by root');
    const { exitCode, stdout } = await cmsadm(
      ...['package', 'build', source, `--key=${key}`, `--out=${folder}/no.zip`, '--yes', '--json'],
    );
    expect(exitCode).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'package-out-refused' } });
  });

  test('is what a user may run, and not what concerns a server', async () => {
    const { exitCode, stdout } = await cmsadm('package', 'list', '--json');
    expect(exitCode).toBe(3);
    expect(JSON.parse(stdout)).toMatchObject({ error: { code: 'not-root' } });
  });
});
