import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { rehearse } from '../../src/rehearsal/rehearse.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { collected } from './pair.ts';
import { programFolder } from './program.ts';

const folder = tempFolder();

test('a rehearsal plays the main job to its end, every check holds, and it says what was not run', async () => {
  const { report, lines } = collected();
  const outcome = await rehearse(programFolder(join(folder, 'program')), join(folder, 'pair'), report);
  expect(lines.filter((line) => line.includes('FAILS'))).toEqual([]);
  expect(outcome, lines.join('\n')).toBe(true);
  expect(lines.filter((line) => line.startsWith('  holds: ')).length).toBeGreaterThanOrEqual(10);
  expect(lines.join('\n')).toContain('Not run in a rehearsal: services');
  expect(lines).toContain('  recorded on cms2: systemctl restart cmsadm-agent.service');
  expect(existsSync(join(folder, 'pair/cms1')), 'a folder that was asked for is kept').toBe(true);
});

test('a rehearsal whose pair cannot be made to agree fails', async () => {
  const { report, lines } = collected();
  const program = programFolder(join(folder, 'other-program'));
  const release = join(program, 'fixtures/rehearsal/cms2/cms/install/release');
  const { writeFileSync } = await import('node:fs');
  writeFileSync(release, 'RELEASE=20.0\nLOAD=20.0.0.1\n');
  expect(await rehearse(program, join(folder, 'other-pair'), report)).toBe(false);
  expect(lines.join('\n')).toContain('The rehearsal FAILED');
});
