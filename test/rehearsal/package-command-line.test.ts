// The options of feature packages as a process, against a pair of two folders whose agents run here.
import { cpSync, existsSync, mkdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { reverse } from '../../src/commands/reverse.ts';
import { setUp } from '../../src/commands/setup.ts';
import { startAgents } from '../../src/rehearsal/agents.ts';
import { misfits, publishedSchema } from '../doors/json-schema.ts';
import { licenceFor } from '../features/fixture-packages.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { pairMaker, type RehearsalPair } from './pair.ts';
import { builtProgram } from './program.ts';

const repository = fileURLToPath(new URL('../..', import.meta.url));
const folder = tempFolder();
const program = builtProgram(join(folder, 'built'));
const history = 'external_call_history';
let pair: RehearsalPair;
let stop: () => Promise<unknown> = async () => undefined;
beforeAll(async () => {
  pair = (await pairMaker(folder))('p');
  await licenceFor(join(pair.cms1, 'root/features.zip'));
  cpSync(join(repository, 'fixtures/packages', history), join(pair.cms1, 'root', history), { recursive: true });
  cpSync(join(repository, 'fixtures/keys/test-signing.pem'), join(pair.cms1, 'root/key.pem'));
  const context = pair.context(pair.cms1);
  await setUp(context, { ...pair.answers, 'licence-package': '/root/features.zip' });
  stop = await startAgents(dirname(pair.cms1), context.host.programRoot);
}, 120_000);
afterAll(() => stop());

async function cmsadm(root: string, ...args: string[]): Promise<{ exitCode: number | undefined; object: unknown }> {
  const { exitCode, stdout, stderr } = await execa(process.execPath, [program, `--root=${root}`, ...args, '--json'], {
    cwd: repository,
    reject: false,
    stdin: 'ignore',
  });
  return { exitCode, object: stdout === '' ? stderr : JSON.parse(stdout) };
}
const build = (name: string, out: string, ...more: string[]) =>
  cmsadm(pair.cms1, 'package', 'build', `/root/${name}`, '--key=/root/key.pem', `--out=${out}`, ...more);
const runsAt = (server: string): unknown =>
  existsSync(`${server}.units.json`)
    ? JSON.parse(readFileSync(`${server}.units.json`, 'utf8'))[`cmsadm-pkg-${history}.service`]?.active
    : undefined;

describe('cmsadm package build', () => {
  test('makes a package; the same content gives the same bytes', async () => {
    const plan = await build(history, '/root/one.zip');
    expect(plan).toMatchObject({ exitCode: 2, object: { outcome: 'pending' } });
    expect(existsSync(join(pair.cms1, 'root/one.zip'))).toBe(false);
    for (const out of ['one', 'two']) {
      const { exitCode, object } = await build(history, `/root/${out}.zip`, '--yes');
      expect(exitCode, JSON.stringify(object)).toBe(0);
      expect(misfits(publishedSchema('package_build'), object)).toEqual([]);
    }
    const [one, two] = ['one', 'two'].map((name) => readFileSync(join(pair.cms1, `root/${name}.zip`)));
    expect(one?.equals(two ?? Buffer.alloc(0))).toBe(true);
    const checked = await cmsadm(pair.cms1, 'package', 'check', '/root/one.zip');
    expect(misfits(publishedSchema('package_check'), checked.object)).toEqual([]);
    expect(checked).toMatchObject({
      exitCode: 0,
      object: { outcome: 'checked', package: { name: history }, licenceFeature: 'ECHI', runsOn: 'primary' },
    });
  });

  test('tells all faults of what can’t be made, and writes nothing', async () => {
    const bad = join(pair.cms1, 'root/bad');
    mkdirSync(join(bad, 'files'), { recursive: true });
    expect(await build('bad', '/root/bad.zip', '--yes')).toMatchObject({
      exitCode: 3,
      object: { error: { code: 'package-source-refused', message: 'There is no readable package.yaml.' } },
    });
    const yaml = readFileSync(join(pair.cms1, `root/${history}/package.yaml`), 'utf8');
    writeFileSync(join(bad, 'package.yaml'), yaml.replace('version: 1.0.0', 'version: one'));
    expect(await build('bad', '/root/bad.zip', '--yes')).toMatchObject({
      object: { error: { details: [expect.stringContaining('version')] } },
    });
    writeFileSync(join(bad, 'package.yaml'), yaml);
    writeFileSync(join(bad, 'files/README'), 'x');
    expect(await build('bad', '/root/bad.zip', '--yes')).toMatchObject({
      object: { error: { details: [expect.stringContaining('units/'), expect.stringContaining('hooks/check')] } },
    });
    symlinkSync('/etc/passwd', join(bad, 'files/link'));
    expect(await build('bad', '/root/bad.zip', '--yes')).toMatchObject({
      object: { error: { message: 'It is neither a file nor a folder.' } },
    });
    expect(await build(history, '/absent/x.zip', '--yes')).toMatchObject({
      object: { error: { code: 'package-out-refused' } },
    });
    expect(existsSync(join(pair.cms1, 'root/bad.zip'))).toBe(false);
  });
});

test('is installed by an answers file, is on the other server by its agent, and follows a reversal', async () => {
  writeFileSync(join(folder, 'answers.yaml'), 'package: /root/one.zip\nlicence-package: /root/features.zip\n');
  const answers = `--answers=${join(folder, 'answers.yaml')}`;
  expect(await cmsadm(pair.cms1, 'pkg_install', answers)).toMatchObject({
    exitCode: 2,
    object: { outcome: 'pending' },
  });
  const { exitCode, object } = await cmsadm(pair.cms1, 'pkg_install', answers, '--yes');
  expect(exitCode, JSON.stringify(object)).toBe(0);
  expect(misfits(publishedSchema('pkg_install'), object)).toEqual([]);
  // It was waited for.
  expect(object).toMatchObject({ secondary: { name: 'cms2.example.com', state: 'as wanted', lines: [] } });
  expect(existsSync(join(pair.cms2, `opt/cmsadm-packages/${history}/current/bin/export-calls`))).toBe(true);
  expect(await cmsadm(pair.cms2, 'run_pkg', `--name=${history}`, '--state=on', '--yes')).toMatchObject({
    exitCode: 3,
    object: { error: { code: 'not-authority', remedy: 'Run it on cms1.example.com.' } },
  });
  expect((await cmsadm(pair.cms1, 'run_pkg', `--name=${history}`, '--state=on', '--yes')).exitCode).toBe(0);
  expect([runsAt(pair.cms1), runsAt(pair.cms2)]).toEqual([true, undefined]);
  await reverse(pair.context(pair.cms1));
  await expect.poll(() => [runsAt(pair.cms1), runsAt(pair.cms2)], { timeout: 20_000 }).toEqual([false, true]);
});
