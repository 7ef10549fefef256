import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test, vi } from 'vitest';
import { type AccessProfile, readGrants } from '../../src/database/client.ts';
import { testHost } from '../change/test-host.ts';
import { tempFolder } from '../packages/temp-folder.ts';

const folder = tempFolder();

const base = { name: 'cms', group: 'dbaccess', program: '/database', user: undefined, seconds: 30 } as const;
const own: readonly [AccessProfile, readonly string[]][] = [
  [{ ...base, adapter: 'postgresql', environment: {} }, ['PGCLIENTENCODING=UTF8']],
  [
    { ...base, adapter: 'informix', environment: { INFORMIXSERVER: 'cms_ol', PATH: '/opt/informix/bin:/usr/bin' } },
    ['DBACCNOIGN=1', 'INFORMIXSERVER=cms_ol', 'PATH=/opt/informix/bin:/usr/bin'],
  ],
];

test.each(own)(
  "the program of $adapter has the profile's environment, and nothing of the shell's",
  async (access, holds) => {
    const host = testHost(folder);
    const told = join(folder, `${access.adapter}.environment`);
    // The shell adds these by itself.
    writeFileSync(join(folder, 'database'), `#!/bin/sh\nenv | grep -vE '^(PWD|OLDPWD|SHLVL|_)=' >'${told}'\n`);
    chmodSync(join(folder, 'database'), 0o755);
    const elsewhere = {
      ...{ PGHOST: 'elsewhere', PGPORT: '1', PGSERVICE: 'elsewhere', PGOPTIONS: '-c role=x', PGSSLMODE: 'disable' },
      ...{ INFORMIXSERVER: 'elsewhere', INFORMIXSQLHOSTS: '/tmp/sqlhosts', DBPATH: '//elsewhere', HOME: '/tmp' },
    };
    for (const [name, value] of Object.entries(elsewhere)) vi.stubEnv(name, value);
    await readGrants(host, access).finally(() => vi.unstubAllEnvs());
    const names = holds.map((setting) => setting.split('=')[0]);
    const always = ['LC_ALL=C', 'PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'];
    expect(readFileSync(told, 'utf8').trim().split('\n').sort()).toEqual(
      [...always.filter((setting) => !names.includes(setting.split('=')[0])), ...holds].sort(),
    );
  },
);
