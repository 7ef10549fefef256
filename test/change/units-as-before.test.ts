// What a put back makes of the units of our own: each is enabled and active just as it was before the change.
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { noServices } from '../../src/change/change.ts';
import type { UnitState } from '../../src/host/system.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { changeOf, changeId as id, serverOf, type TestHost, testHost } from './test-host.ts';

const folder = tempFolder();
const agent = 'cmsadm-agent.service';
const recovery = 'cmsadm-recover.service';
const services = { ...noServices, start: [agent], enable: [recovery] };

/** A server that has been through set up before, with the agent in this state. */
function server(name: string, state: UnitState): TestHost {
  const host = testHost(join(folder, name));
  host.units.set(agent, state).set(recovery, { exists: true, active: false, enabled: true });
  return host;
}

describe.each(['operator', 'itself'] as const)('a second set up or a reversal that is put back by %s', (by) => {
  test.each([
    { active: true, enabled: true },
    { active: false, enabled: true },
    { active: true, enabled: false },
    { active: false, enabled: false },
  ])('leaves an agent as it was: %o', async (state) => {
    const host = server(`${by}-${state.active}-${state.enabled}`, { exists: true, ...state });
    const before = new Map(host.units);
    const one = serverOf(host);
    await one.stage({ change: changeOf(host, { '/etc/hosts': 'new\n' }, { services }), part: 'peer' });
    await one.commit({ id });
    expect(host.units.get(agent)).toEqual({ exists: true, active: true, enabled: true });
    await one.putBack({ id, by });
    expect(host.units).toEqual(before);
  });
});

test('an agent that ran before never stops being enabled, and reads the old files again', async () => {
  const host = server('order', { exists: true, active: true, enabled: true });
  const one = serverOf(host);
  await one.stage({ change: changeOf(host, { '/etc/hosts': 'new\n' }, { services }), part: 'peer' });
  await one.commit({ id });
  host.did.length = 0;
  await one.putBack({ id, by: 'operator' });
  expect(host.did.filter((line) => line.startsWith('disable'))).toEqual([]);
  expect(host.did).toContain(`restart ${agent}`);
});

// `systemctl restart` waits for the unit, and at boot the unit waits for the one that puts back.
test('a server that puts back by itself, perhaps at boot, waits for no agent to start', async () => {
  const host = server('boot-order', { exists: true, active: true, enabled: true });
  const one = serverOf(host);
  await one.stage({ change: changeOf(host, { '/etc/hosts': 'new\n' }, { services }), part: 'peer' });
  await one.commit({ id });
  host.did.length = 0;
  await one.putBack({ id, by: 'itself' });
  expect(host.did.filter((line) => line.startsWith('restart'))).toEqual([]);
  expect(host.did.filter((line) => line.endsWith(agent)).slice(-2)).toEqual([`try-restart ${agent}`, `start ${agent}`]);
});

test('the boot unit, which may be what settles the change, is never stopped', async () => {
  const host = testHost(join(folder, 'boot'));
  const one = serverOf(host);
  await one.stage({ change: changeOf(host, { '/etc/hosts': 'new\n' }, { services }), part: 'alone' });
  await one.commit({ id });
  await one.putBack({ id, by: 'itself' });
  expect(host.did.filter((line) => line.startsWith('stop'))).toEqual([`stop ${agent}`]);
  expect(host.units.get(recovery)).toMatchObject({ enabled: false });
});
