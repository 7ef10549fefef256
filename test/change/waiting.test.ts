// A coordinator that has asked, and whose other server is silent: it asks again until it gets an answer.
import { join } from 'node:path';
import { beforeEach, expect, test } from 'vitest';
import { note, unfinished } from '../../src/change/journal.ts';
import { recover } from '../../src/change/recover.ts';
import { writeState } from '../../src/host/writing.ts';
import { readAlarms } from '../../src/pair/alarms.ts';
import { paths, printLink } from '../../src/pair/state.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { changeOf, changeId as id, serverOf, type TestHost, tag, testHost } from './test-host.ts';

const folder = tempFolder();
let host: TestHost;
let armed: { unit: string; seconds: number; argv: readonly string[] }[];
let number = 0;
beforeEach(async () => {
  number += 1;
  armed = [];
  host = testHost(join(folder, String(number)), {
    arm: async (unit, seconds, argv) => {
      // As systemd does: the run of a unit keeps its name taken.
      if (armed.some((earlier) => earlier.unit === unit)) throw new Error(`${unit} was already loaded`);
      armed.push({ unit, seconds, argv });
    },
    connect: () => Promise.reject(new Error('silence')),
  });
  const server = { address: '192.0.2.11', fqdn: 'cms1.example.com', hostname: 'cms1' };
  const peer = { ...server, port: 22, hostKeys: [] };
  writeState(host.root, paths.link, printLink({ self: server, peer, tag, broughtProgram: false, broughtFiles: [] }));
  const one = serverOf(host);
  await one.stage({ change: changeOf(host, { '/etc/hosts': 'new\n' }), part: 'coordinator' });
  await one.arm({ id, seconds: 300 });
  await one.commit({ id });
  note(host.root, id, 'asked', host.system.clock());
});

test('each run of the way back that has to wait arms the next one, under a name that is free', async () => {
  for (const tries of [1, 2]) {
    const clock = (): number => 1_700_000_000_000 + tries * 60_000;
    const later = { ...host, system: { ...host.system, clock } };
    expect(await recover(later, id, 'itself')).toMatchObject([{ id, did: 'waits' }]);
  }
  expect(unfinished(host.root)).toEqual([id]);
  const [first, ...again] = armed;
  expect(first).toMatchObject({ seconds: 300 });
  expect(again).toHaveLength(2);
  for (const next of again) expect(next).toMatchObject({ seconds: 60, argv: first?.argv });
});

test('a run of the way back that is still asking when a person settles leaves no timer and no alarm', async () => {
  const settles = async (): Promise<never> => {
    await serverOf(host).confirm({ id });
    throw new Error('silence');
  };
  const disarm = async (unit: string): Promise<void> => {
    armed = armed.filter((one) => one.unit !== unit && !one.unit.startsWith(`${unit}-`));
  };
  Object.assign(host.system, { disarm, login: settles });
  expect(await recover(host, id, 'itself')).toMatchObject([{ id, did: 'confirmed', toDo: [] }]);
  expect([armed, readAlarms(host.root), host.journal]).toEqual([[], [], []]);
});

test('an operator who settles is told to come again, and arms nothing', async () => {
  expect(await recover(host, undefined, 'operator')).toMatchObject([{ did: 'waits' }]);
  expect(armed).toHaveLength(1);
});
