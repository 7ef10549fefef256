import { expect, test } from 'vitest';
import { ask, run } from '../../src/host/processes.ts';

const cases: Record<string, [argv: string[], outcome: Partial<Awaited<ReturnType<typeof run>>>]> = {
  'output and success': [['sh', '-c', 'echo out; echo err >&2'], { stdout: 'out\n', stderr: 'err\n', exitCode: 0 }],
  'the exit code of a failure, with what it said': [
    ['sh', '-c', 'echo no >&2; exit 3'],
    { stdout: '', stderr: 'no\n', exitCode: 3 },
  ],
  '127 for a program that is not there': [['cmsadm-no-such-program'], { stdout: '', exitCode: 127 }],
  '127 for a program that a signal ended': [['sh', '-c', 'kill -9 $$'], { exitCode: 127 }],
  'the C locale, whatever the operator has': [['sh', '-c', 'echo "$LC_ALL"'], { stdout: 'C\n' }],
  'an input that has ended': [['cat'], { stdout: '', exitCode: 0 }],
  'arguments as they are, without a shell': [['printf', '%s', '$(id) "quoted" *'], { stdout: '$(id) "quoted" *' }],
};

const ways = { run, ask };

for (const [name, way] of Object.entries(ways))
  test.each(Object.entries(cases))(`${name} tells %s`, async (_what, [argv, outcome]) => {
    expect(await way(argv)).toMatchObject(outcome);
  });

test.each(Object.entries(ways))('%s says why a missing program could not be started', async (_name, way) => {
  expect((await way(['cmsadm-no-such-program'])).stderr).toContain('ENOENT');
});
