import { mkdirSync, rmSync, statSync, unlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { noServices } from '../../src/change/change.ts';
import { readJournal, unfinished } from '../../src/change/journal.ts';
import { putBack } from '../../src/change/put-back.ts';
import type { Server } from '../../src/change/server.ts';
import { CmsadmError } from '../../src/errors.ts';
import { readEpoch } from '../../src/pair/state.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { changeId, changeOf, serverOf, type TestHost, tag, testHost, textAt, tree } from './test-host.ts';

const folder = tempFolder();
let host: TestHost;
let server: Server;
let number = 0;
beforeEach(() => {
  number += 1;
  host = testHost(join(folder, String(number)));
  server = serverOf(host);
});

const file = (path: string): string => join(host.root.prefix, path);
const id = changeId;
const newTexts = {
  '/etc/hosts': '127.0.0.1 localhost\n192.0.2.11 cms1\n',
  '/root/.rhosts': null,
  '/root/.bash_profile': 'PATH=1\n',
  '/var/lib/cmsadm/pair.json': '{}\n',
  '/cms/install/security/OpenPorts': '22/tcp any\n',
};
const codeOf = (error: unknown): string => (error instanceof CmsadmError ? error.code : String(error));
const refusal = (promise: Promise<unknown>): Promise<string> => promise.then(() => 'no error', codeOf);

describe('commit', () => {
  test('puts the new files in place, with backups by hard link and the absence known', async () => {
    const inode = statSync(file('/etc/hosts')).ino;
    await server.stage({ change: changeOf(host, newTexts), part: 'alone' });
    await server.commit({ id });
    expect(textAt(host, '/etc/hosts')).toBe(newTexts['/etc/hosts']);
    expect(textAt(host, '/root/.rhosts')).toBeUndefined();
    expect(statSync(file(`/etc/hosts.${tag}`)).ino, 'the very file that stood there').toBe(inode);
    expect(textAt(host, `/root/.rhosts.${tag}`)).toBe('old root\n');
    expect(statSync(file('/var/lib/cmsadm/pair.json')).mode & 0o7777).toBe(0o600);
    expect(readJournal(host.root, id).manifest.files.map(({ before }) => before === null)).toEqual([
      false,
      false,
      true,
      true,
      true,
    ]);
  });

  test('retires services first, then works the others side by side, and asks for their health', async () => {
    const services = {
      ...noServices,
      stop: ['ids.service'],
      reload: ['ssh.service'],
      restart: ['cms.service'],
      start: ['cmsadm-agent.service'],
      enable: ['cmsadm-recover.service'],
    };
    const texts = { '/etc/systemd/system/cmsadm-agent.service': '[Unit]\n' };
    await server.stage({ change: changeOf(host, texts, { services }), part: 'alone' });
    await server.commit({ id });
    expect(host.did).toEqual([
      'disable ids.service',
      'stop ids.service',
      'daemon-reload',
      'try-reload-or-restart ssh.service',
      'try-restart cms.service',
      'enable cmsadm-recover.service cmsadm-agent.service',
      'restart cmsadm-agent.service',
    ]);
  });

  const unit = '/etc/systemd/system/cmsadm-recover.service';
  test.each([
    ['new and only enabled: its boot reads it', undefined, noServices.start, []],
    ['new and started now', undefined, ['cmsadm-agent.service'], ['daemon-reload']],
    ['changed', '[Unit]\n# old\n', noServices.start, ['daemon-reload']],
  ])('has systemd read its unit files only where it must: %s', async (_what, before, start, reloads) => {
    if (before !== undefined) {
      mkdirSync(file('/etc/systemd/system'), { recursive: true });
      writeFileSync(file(unit), before);
    }
    const services = { ...noServices, start, enable: ['cmsadm-recover.service'] };
    await server.stage({ change: changeOf(host, { [unit]: '[Unit]\n' }, { services }), part: 'alone' });
    await server.commit({ id });
    expect(host.did.filter((did) => did === 'daemon-reload')).toEqual(reloads);
  });

  test('a service that does not come back in time is an error that names it', async () => {
    const services = { ...noServices, restart: ['cms.service'], seconds: 0 };
    const sick = testHost(join(folder, `${number}-sick`), {
      control: async (verb) => {
        if (verb === 'try-restart') sick.units.set('cms.service', { exists: true, active: false, enabled: true });
      },
    });
    const one = serverOf(sick);
    await one.stage({ change: changeOf(sick, { '/etc/hosts': 'b\n' }, { services }), part: 'alone' });
    const error = await one.commit({ id }).catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'service-unhealthy', remedy: expect.stringContaining('cms.service') });
  });

  test('a service has its time, though the clock is set by an hour meanwhile: chrony itself may be what was restarted', async () => {
    const services = { ...noServices, restart: ['cms.service'], seconds: 30 };
    let looks = -1;
    const slow = testHost(join(folder, `${number}-slow`), {
      clock: () => 1_700_000_000_000 + looks * 3_600_000,
      units: async (names) => {
        looks += 1;
        const active = looks === 0 || looks > 4; // up before it, and again after a while
        return Object.fromEntries(names.map((name) => [name, { exists: true, active, enabled: true }]));
      },
    });
    const one = serverOf(slow);
    await one.stage({ change: changeOf(slow, { '/etc/hosts': 'b\n' }, { services }), part: 'alone' });
    await one.commit({ id });
    expect(looks).toBeGreaterThan(4);
  });

  test('a service whose file went away, and that has nothing to do without it, is waited for no longer', async () => {
    const services = { ...noServices, restart: ['cms.service'], seconds: 60 };
    const idle = testHost(join(folder, `${number}-idle`), {
      control: async (verb) => {
        if (verb === 'try-restart')
          idle.units.set('cms.service', { exists: true, active: false, enabled: true, idle: true });
      },
    });
    const one = serverOf(idle);
    await one.stage({ change: changeOf(idle, { '/root/.rhosts': null }, { services }), part: 'alone' });
    await one.commit({ id });
    expect(textAt(idle, '/root/.rhosts')).toBeUndefined();
  });

  test('a service that fails is told only when the others are done: what is put back then is at rest', async () => {
    const services = { ...noServices, restart: ['cms.service'], start: ['cmsadm-agent.service'] };
    const done: string[] = [];
    const failing = testHost(join(folder, `${number}-failing`), {
      control: async (verb, units) => {
        if (verb === 'try-restart') throw new CmsadmError('service-failed', 'cms.service failed.');
        if (verb === 'restart') await new Promise((resolve) => setTimeout(resolve, 50));
        if (units.length > 0) done.push(verb);
      },
    });
    const one = serverOf(failing);
    await one.stage({ change: changeOf(failing, { '/etc/hosts': 'b\n' }, { services }), part: 'alone' });
    await expect(one.commit({ id })).rejects.toMatchObject({ code: 'service-failed' });
    expect(done).toEqual(['enable', 'restart']);
  });

  test('raises the epoch and never lowers it', async () => {
    await server.stage({ change: changeOf(host, newTexts, { epoch: 4 }), part: 'alone' });
    await server.commit({ id });
    expect(readEpoch(host.root)).toBe(4);
    await server.putBack({ id, by: 'operator' });
    expect(readEpoch(host.root)).toBe(4);
  });
});

describe('put back', () => {
  test.each(['staged', 'armed', 'committed', 'half committed'] as const)(
    '%s: gives back bytes, modes and absence; nothing of ours is left',
    async (when) => {
      const before = tree(host);
      await server.stage({ change: changeOf(host, newTexts), part: 'peer' });
      if (when !== 'staged') await server.arm({ id, seconds: 60 });
      if (when === 'committed') await server.commit({ id });
      if (when === 'half committed') {
        rmSync(file(`/root/..bash_profile.${tag}.staged`));
        expect(await refusal(server.commit({ id }))).toBe('system-refused');
        expect(textAt(host, '/etc/hosts')).toBe(newTexts['/etc/hosts']);
      }
      await server.putBack({ id, by: 'operator' });
      expect(tree(host)).toEqual(before);
      expect(unfinished(host.root)).toEqual([]);
    },
  );

  test('can be repeated', async () => {
    const before = tree(host);
    await server.stage({ change: changeOf(host, newTexts), part: 'peer' });
    await server.commit({ id });
    await server.putBack({ id, by: 'operator' });
    await server.putBack({ id, by: 'operator' });
    expect(tree(host)).toEqual(before);
  });

  test('keeps what somebody edited meanwhile, and says where', async () => {
    await server.stage({ change: changeOf(host, newTexts), part: 'peer' });
    await server.commit({ id });
    writeFileSync(file('/etc/hosts'), 'edited at night\n');
    writeFileSync(file('/root/.bash_profile'), 'edited too\n');
    const { edited } = await server.putBack({ id, by: 'operator' });
    expect(edited.toSorted()).toEqual([`/etc/hosts.${tag}.edited`, `/root/.bash_profile.${tag}.edited`]);
    expect(textAt(host, `/etc/hosts.${tag}.edited`)).toBe('edited at night\n');
    expect(textAt(host, '/etc/hosts')).toBe('127.0.0.1 localhost\n');
    expect(textAt(host, '/root/.bash_profile')).toBeUndefined();
  });

  test('restarts the services again, and takes away what it had enabled', async () => {
    const services = { ...noServices, restart: ['cms.service'], affecting: ['cms.service'], start: ['agent.service'] };
    await server.stage({ change: changeOf(host, newTexts, { services }), part: 'peer' });
    await server.commit({ id });
    host.did.length = 0;
    expect((await server.putBack({ id, by: 'operator' })).leftToDo).toEqual([]);
    expect(host.did).toEqual([
      'disable agent.service',
      'stop agent.service',
      'daemon-reload',
      'restart cms.service',
      'disarm',
    ]);
  });

  test('by itself restarts nothing that interrupts the service, and names it', async () => {
    const services = {
      ...noServices,
      restart: ['ids.service', 'cms.service'],
      affecting: ['cms.service'],
      reload: ['ssh.service'],
    };
    await server.stage({ change: changeOf(host, newTexts, { services }), part: 'peer' });
    await server.commit({ id });
    host.did.length = 0;
    expect((await putBack(host, id, 'itself')).leftToDo).toEqual(['cms.service']);
    expect(host.did).toEqual([
      'daemon-reload',
      'try-reload-or-restart ssh.service',
      'try-restart ids.service',
      'disarm',
    ]);
  });

  test('a backup that is gone does not stop the others, and is told', async () => {
    await server.stage({ change: changeOf(host, newTexts), part: 'peer' });
    await server.commit({ id });
    unlinkSync(file(`/root/.rhosts.${tag}`));
    const error = await putBack(host, id, 'operator').catch((e: unknown) => e);
    expect(error).toMatchObject({ code: 'put-back-incomplete', details: [expect.stringContaining('/root/.rhosts')] });
    expect(textAt(host, '/etc/hosts')).toBe('127.0.0.1 localhost\n');
    expect(unfinished(host.root), 'it is still open').toEqual([id]);
  });
});

test.each(['putBack', 'confirm'] as const)('%s of a change that never began decides nothing', async (verb) => {
  expect(await refusal(server[verb]({ id, by: 'operator' }))).toBe('transaction-unknown');
  expect(await server.outcome({ id })).toBe('unknown');
  await server.stage({ change: changeOf(host, newTexts), part: 'peer' });
  expect(await server.outcome({ id })).toBe('undecided');
});

describe('confirm', () => {
  test('ends the change: it can no longer be put back, its backups stay', async () => {
    await server.stage({ change: changeOf(host, newTexts), part: 'peer' });
    await server.commit({ id });
    await server.confirm({ id });
    expect(await server.outcome({ id })).toBe('confirmed');
    expect(await refusal(server.putBack({ id, by: 'operator' }))).toBe('confirmed-already');
    expect(textAt(host, '/etc/hosts')).toBe(newTexts['/etc/hosts']);
    expect(textAt(host, `/etc/hosts.${tag}`)).toBe('127.0.0.1 localhost\n');
    expect(Object.keys(tree(host)).filter((path) => path.endsWith('.staged'))).toEqual([]);
  });

  test('is refused after a put back', async () => {
    await server.stage({ change: changeOf(host, newTexts), part: 'peer' });
    await server.putBack({ id, by: 'itself' });
    expect(await refusal(server.confirm({ id }))).toBe('put-back-already');
    expect(await server.outcome({ id })).toBe('put-back');
  });

  test('only then takes away what a way back needed', async () => {
    const unit = '/etc/systemd/system/cmsadm-recover.service';
    mkdirSync(file('/etc/systemd/system'), { recursive: true });
    writeFileSync(file(unit), '[Unit]\n');
    const afterwards = { removeFiles: [unit], disableUnits: ['cmsadm-recover.service'], removeProgram: true };
    host.units.set('cmsadm-recover.service', { exists: true, active: false, enabled: true });
    await server.stage({ change: changeOf(host, { '/etc/hosts': 'x\n' }, { afterwards }), part: 'peer' });
    await server.commit({ id });
    expect(textAt(host, unit)).toBe('[Unit]\n');
    host.did.length = 0;
    await server.confirm({ id });
    expect(textAt(host, unit)).toBeUndefined();
    expect(textAt(host, `${unit}.${tag}`)).toBe('[Unit]\n');
    expect(host.did).toEqual([
      'disable cmsadm-recover.service',
      'daemon-reload',
      'install /opt/cmsadm/current/templates --remove',
      'disarm',
    ]);
  });
});
