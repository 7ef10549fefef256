import { beforeAll, beforeEach, describe, expect, test, vi } from 'vitest';
import { setUp } from '../../src/commands/setup.ts';
import { CmsadmError } from '../../src/errors.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { pairMaker, type RehearsalPair, refusalOf, standing } from './pair.ts';

const folder = tempFolder();
let newPair: (name: string) => RehearsalPair;
beforeAll(async () => {
  newPair = await pairMaker(folder);
});
// An agent of whoever runs the tests must not help to log in.
beforeEach(() => void vi.stubEnv('SSH_AUTH_SOCK', undefined));

describe('hostile answers are refused as they are, and nothing is touched', () => {
  const hostile = [
    '$(touch /tmp/x)',
    '`id`',
    'a"b',
    "a'b",
    'cms2\n192.0.2.12',
    '-oProxyCommand=id',
    'a\u001b[31mb',
    'a\0b',
  ];
  const parameters = ['ntp-server', 'secondary-ip', 'secondary-fqdn', 'licence-package', 'ha-package'];
  const contact = ['peer-user', 'ssh-port', 'peer-fingerprint', 'peer-key', 'peer-password-file', 'peer-password-fd'];
  const overrides = ['primary-ip', 'primary-fqdn'];

  test.each([...parameters, ...contact, ...overrides])('--%s', async (parameter) => {
    const pair = newPair(`hostile-${parameter}`);
    const before = standing(pair);
    for (const text of hostile) {
      const given = { ...pair.answers, [parameter]: text };
      if (parameter === 'peer-password-fd') given['peer-password-file'] = undefined;
      const error = await refusalOf(setUp(pair.context(pair.cms1), given));
      if (!(error instanceof CmsadmError)) throw error;
      expect(['answers-refused', 'answer-refused', 'usage'], error.message).toContain(error.code);
      const told = [error.message, ...error.details].join('');
      expect(
        [...told].filter((c) => c < ' '),
        `no control character in ${JSON.stringify(told)}`,
      ).toEqual([]);
    }
    expect(standing(pair)).toEqual(before);
  });
});
