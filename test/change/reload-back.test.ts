// What becomes of services that a change reloaded, when its files are put back.
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { reloadBack } from '../../src/change/reload-back.ts';
import { CmsadmError } from '../../src/errors.ts';
import type { ServiceVerb, UnitState } from '../../src/host/system.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { testHost } from './test-host.ts';

const folder = tempFolder();
const up: UnitState = { exists: true, active: true, enabled: true, failed: false, daemon: true };
const dead: UnitState = { ...up, active: false, failed: true, daemon: false };
const oneShot: UnitState = { ...up, daemon: false };

let number = 0;
/** Services in these states, some of which cannot reload; what was asked of systemd. */
async function back(
  states: Readonly<Record<string, UnitState>>,
  by: 'operator' | 'itself' = 'operator',
  stuck: readonly string[] = [],
): Promise<{ did: string[]; error: unknown }> {
  const did: string[] = [];
  number += 1;
  const host = testHost(join(folder, String(number)), {
    units: async (names) => Object.fromEntries(names.map((name) => [name, states[name] ?? dead])),
    control: async (verb: ServiceVerb, names) => {
      if (names.length === 0) return;
      did.push(`${verb} ${names.join(' ')}`);
      if (verb === 'try-reload-or-restart' && names.some((name) => stuck.includes(name)))
        throw new CmsadmError('service-failed', 'it does not reload');
    },
  });
  const names = Object.keys(states);
  const error = await reloadBack(host, names, names, by).then(
    () => undefined,
    (problem: unknown) => problem,
  );
  return { did, error };
}

test('services that run read their files again, and nothing else is done', async () => {
  expect(await back({ 'ssh.service': up, 'cron.service': up })).toEqual({
    did: ['try-reload-or-restart ssh.service cron.service'],
    error: undefined,
  });
});

describe('an sshd that died of its reload', () => {
  test('is started again, and waited for where a person is there', async () => {
    expect((await back({ 'ssh.service': dead })).did).toEqual([
      'try-reload-or-restart ssh.service',
      'reset-failed ssh.service',
      'restart ssh.service',
    ]);
  });

  test('is started without waiting where nobody is there: it may be the boot', async () => {
    expect((await back({ 'ssh.service': dead }, 'itself')).did.at(-1)).toBe('start ssh.service');
  });
});

test('a daemon that cannot reload is restarted, the others only reload', async () => {
  expect(await back({ 'ssh.service': up, 'nftables.service': oneShot }, 'operator', ['ssh.service'])).toEqual({
    did: [
      'try-reload-or-restart ssh.service nftables.service',
      'try-restart ssh.service',
      'try-reload-or-restart nftables.service',
    ],
    error: undefined,
  });
});

test('a unit without a process is not restarted, which would let all in; that it failed is told', async () => {
  const { did, error } = await back({ 'nftables.service': oneShot }, 'operator', ['nftables.service']);
  expect(did.filter((line) => line.includes('restart ') && !line.startsWith('try-reload'))).toEqual([]);
  expect(error).toMatchObject({ code: 'service-failed' });
});

test('a unit that did not run before stays down', async () => {
  const host = testHost(join(folder, 'down'));
  host.units.set('ssh.service', { exists: true, active: false, enabled: false });
  await reloadBack(host, ['ssh.service'], [], 'operator');
  expect(host.units.get('ssh.service')).toMatchObject({ active: false });
});
