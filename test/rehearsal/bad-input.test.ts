import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { beforeAll, beforeEach, expect, test, vi } from 'vitest';
import { setUp } from '../../src/commands/setup.ts';
import { CmsadmError, exitCodes } from '../../src/errors.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { badInputs } from './bad-inputs.ts';
import { pairMaker, type RehearsalPair, refusalOf, standing } from './pair.ts';

const folder = tempFolder();
let newPair: (name: string) => RehearsalPair;
beforeAll(async () => {
  newPair = await pairMaker(folder);
});
// An agent of whoever runs the tests must not help to log in.
beforeEach(() => void vi.stubEnv('SSH_AUTH_SOCK', undefined));

test.each(badInputs)(
  'refused, and nothing touched on both servers: $name',
  async ({ name, prepare, given, more, code, says }) => {
    const pair = newPair(name.replaceAll(/\W/gu, '-'));
    await prepare?.(pair);
    const before = standing(pair);
    const error = await refusalOf(setUp(pair.context(pair.cms1, more), { ...pair.answers, ...given }));
    expect(standing(pair)).toEqual(before);
    if (!(error instanceof CmsadmError)) throw error;
    const told = [error.server ?? '', error.message, ...error.details, error.remedy ?? ''].join('\n');
    expect(error.code, told).toBe(code);
    for (const text of says) expect(told).toMatch(text);
    expect(error.remedy, 'there is always a next thing to do').toMatch(/\w/);
    expect([exitCodes.refused, exitCodes.usage]).toContain(error.exitCode);
    if (name.startsWith('a second operator'))
      expect(existsSync(join(pair.cms2, 'run/cmsadm/lock')), 'his lock is still there').toBe(true);
  },
);
