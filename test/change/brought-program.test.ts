// What becomes of a program that a first contact brought, when the link then fails.
import { mkdirSync, readlinkSync, rmSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { localServer } from '../../src/change/server.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { profile, testHost } from './test-host.ts';

const folder = tempFolder();
const carriedIn = '/run/cmsadm-first.1';

/** A server whose installer makes 1.1.0 the release in use, over this one. */
function server(name: string, release: string | undefined) {
  const prefix = join(folder, name);
  const current = join(prefix, 'opt/cmsadm/current');
  const ran: string[] = [];
  const host = testHost(prefix, {
    runInstaller: async (from, options) => {
      ran.push([from, ...options].join(' '));
      rmSync(current, { force: true });
      if (options[0] === '--brought') symlinkSync('releases/1.1.0', current);
    },
  });
  for (const version of ['1.0.0', '1.1.0'])
    mkdirSync(join(prefix, 'opt/cmsadm/releases', version), { recursive: true });
  if (release !== undefined) symlinkSync(`releases/${release}`, current);
  return { verbs: localServer({ host, profile, family: 'debian', carriedIn }), current, ran };
}

test('it goes again where there was none', async () => {
  const { verbs, ran } = server('none', undefined);
  await verbs.installProgram();
  await verbs.removeProgram();
  expect(ran).toEqual([`${carriedIn} --brought`, `${carriedIn} --remove`]);
});

test('an older release is the one in use again, and is not taken away', async () => {
  const { verbs, ran, current } = server('older', '1.0.0');
  await verbs.installProgram();
  expect(readlinkSync(current)).toBe('releases/1.1.0');
  await verbs.removeProgram();
  expect(ran).toEqual([`${carriedIn} --brought`]);
  expect(readlinkSync(current)).toBe('releases/1.0.0');
});
