import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { available, copyIn, readFile, writeFile } from '../../lab/lab.ts';
import { misfits, publishedSchema } from '../doors/json-schema.ts';
import { buildFixture, fixtureNames, licenceFor } from '../features/fixture-packages.ts';
import {
  attempt,
  cms1,
  cms2,
  cmsadm,
  configHa,
  objectOf,
  type Server,
  setUp,
  sh,
  start,
  stopAtFirstFailure,
  told,
  useFreshLab,
} from './kit.ts';
import { openTerminal, type Terminal, tooWide } from './terminal.ts';

const { ok, why } = available();
const history = 'external_call_history';
const unit = `cmsadm-pkg-${history}.service`;
const current = `/opt/cmsadm-packages/${history}/current`;
const rowsFolder = `/var/lib/cmsadm-packages/${history}`;

/** Milliseconds in which the other server has to follow. */
const SOON = 15_000;

const isActive = async (server: Server, name = unit): Promise<string> =>
  (await attempt(server, 'systemctl', 'is-active', name)).stdout.trim();
const versionOn = async (server: Server): Promise<string> =>
  (await attempt(server, 'readlink', current)).stdout.trim().replace(/-[0-9a-f]{12}(\.\d+)?$/, '');
const soon = <T>(read: () => Promise<T>) => expect.poll(read, { timeout: SOON, interval: 150 });

/** Runs an option with --json and --yes, expects this exit code, and holds what it printed against its schema. */
async function option(server: Server, args: readonly string[], exitCode = 0): Promise<unknown> {
  const result = await cmsadm(server, ...args, '--json', '--yes');
  expect(result.exitCode, told(result)).toBe(exitCode);
  const object = objectOf(result);
  if (exitCode === 0 && args[0] !== undefined) expect(misfits(publishedSchema(args[0]), object)).toEqual([]);
  return object;
}
const install = (zip: string, exitCode = 0) =>
  option('cms1', ['pkg_install', '--package', `/root/${zip}.zip`], exitCode);
const turn = (state: 'on' | 'off', name = history) => option('cms1', ['run_pkg', '--name', name, '--state', state]);
const set = (settings: string, exitCode = 0, name = history) =>
  option('cms1', ['config_pkg', '--name', name, '--set', settings], exitCode);
const traces = (server: Server): Promise<string> =>
  sh(
    server,
    'ls -d /opt/cmsadm-packages /etc/systemd/system/cmsadm-pkg* /etc/systemd/system/*/cmsadm-pkg* /var/lib/cmsadm/own/packages 2>/dev/null || :',
  );

/** Everything of the version in use is there as it came, by an independent tool. */
async function wholeOn(server: Server): Promise<string> {
  const script = `cd ${current} && find . -type f -exec sha256sum {} + | sort -k2 | sha256sum`;
  const result = await attempt(server, 'sh', '-c', script);
  return result.stdout.slice(0, 64);
}

describe.skipIf(!ok)(`feature packages on both servers${ok ? '' : ` (skipped: ${why})`}`, () => {
  useFreshLab();
  stopAtFirstFailure();

  beforeAll(async () => {
    const folder = mkdtempSync(join(tmpdir(), 'cmsadm-lab-features-'));
    for (const name of fixtureNames) await buildFixture(name, join(folder, `${name}.zip`));
    await buildFixture(history, join(folder, 'next.zip'), {
      source: { version: '1.1.0' },
      files: { 'lib/big': `${'x'.repeat(99)}\n`.repeat(20_000) },
    });
    await buildFixture(history, join(folder, 'dies.zip'), {
      source: { version: '1.2.0' },
      files: { 'bin/export-calls': '#!/bin/sh\necho no reason >&2\nexit 1\n' },
    });
    await buildFixture(history, join(folder, 'refuses.zip'), {
      source: { version: '1.2.0' },
      files: { 'hooks/check': '#!/bin/sh\necho the hook says no\nexit 7\n' },
    });
    await licenceFor(join(folder, 'features.zip'));
    for (const name of [...fixtureNames, 'next', 'dies', 'refuses', 'features'])
      await copyIn('cms1', join(folder, `${name}.zip`), `/root/${name}.zip`);
    rmSync(folder, { recursive: true });
    await setUp({ 'licence-package': '/root/features.zip' });
  }, 300_000);

  it('are installed on the primary by the licence of the set up, and are on the secondary within seconds', async () => {
    const done = await install(history);
    expect(done).toMatchObject({
      outcome: 'done',
      package: { name: history, version: '1.0.0', licence: 'FEATURES-1' },
    });
    // It was waited for, and told of.
    expect(done).toMatchObject({ secondary: { name: cms2.fqdn, state: 'as wanted', lines: [] } });
    expect([await versionOn('cms1'), await versionOn('cms2')]).toEqual(['1.0.0', '1.0.0']);
    expect(await wholeOn('cms2')).toBe(await wholeOn('cms1'));
    expect([await isActive('cms1'), await isActive('cms2')]).toEqual(['inactive', 'inactive']);
    expect(await install(history)).toMatchObject({ outcome: 'nothing' });
  });

  it.each([
    ['pkg_install', '--package', `/root/${history}.zip`],
    ['pkg_remove', '--name', history],
    ['run_pkg', '--name', history, '--state', 'on'],
    ['config_pkg', '--name', history, '--set', 'interval=5'],
  ])('%s is refused on the secondary, naming the primary', async (...args) => {
    expect(await option('cms2', args, 3)).toMatchObject({
      error: { code: 'not-authority', remedy: `Run it on ${cms1.fqdn}.` },
    });
  });

  it('run on the primary only, and do their work', async () => {
    await set('interval=1');
    await turn('on');
    expect(await isActive('cms1')).toBe('active');
    expect((await attempt('cms1', 'systemctl', 'is-enabled', unit)).stdout.trim()).toBe('enabled');
    await sh(
      'cms1',
      `mkdir -p /var/spool/call-records && printf 'end=2026-03-02T09:15:00\\nagent=2001\\nvdn=4100\\nskill=12\\nseconds=75\\n' > /var/spool/call-records/1.call`,
    );
    await soon(async () => (await attempt('cms1', 'cat', `${rowsFolder}/calls-2026-03-02.csv`)).stdout).toBe(
      '2026-03-02T09:15:00,2001,4100,12,75',
    );
    await soon(
      async () => (await attempt('cms2', 'cat', `/opt/cmsadm-packages/${history}/settings.env`)).stdout,
    ).toContain('INTERVAL="1"');
    expect(await isActive('cms2')).toBe('inactive');
  });

  it('run on both while customised reports use them, within seconds of the setting', async () => {
    await set('customised_reports=yes');
    await soon(() => isActive('cms2')).toBe('active');
    await set('customised_reports=no');
    await soon(() => isActive('cms2')).toBe('inactive');
    expect(await isActive('cms1')).toBe('active');
  });

  it('follow a reversal, and the one back', async () => {
    await configHa('cms1', ['reverse']);
    await soon(() => isActive('cms2')).toBe('active');
    await soon(() => isActive('cms1')).toBe('inactive');
    expect(await option('cms1', ['run_pkg', '--name', history, '--state', 'off'], 3)).toMatchObject({
      error: { remedy: `Run it on ${cms2.fqdn}.` },
    });
    await soon(async () => (await cmsadm('cms2', 'sync', 'now')).exitCode).toBe(0);
    await configHa('cms2', ['reverse']);
    await soon(() => isActive('cms1')).toBe('active');
    await soon(() => isActive('cms2')).toBe('inactive');
    await soon(async () => (await cmsadm('cms1', 'sync', 'now')).exitCode).toBe(0);
  });

  it.each([
    ['dies', 'unit-not-running'],
    ['refuses', 'hook-failed'],
  ])('stay as they were where the new version %s', async (zip, code) => {
    expect(await install(zip, 4)).toMatchObject({ error: { code } });
    expect([await versionOn('cms1'), await isActive('cms1')]).toEqual(['1.0.0', 'active']);
    await soon(() => versionOn('cms2')).toBe('1.0.0');
    await soon(async () => objectOf(await cmsadm('cms2', 'package', 'list', '--json'))).toMatchObject({
      packages: [{ name: history, version: '1.0.0', here: false, differs: [] }],
    });
    expect(await sh('cms1', `ls /opt/cmsadm-packages/${history}`)).toMatch(/^1\.0\.0-\w+\ncurrent\nsettings\.env$/);
  });

  it('a hook says no to a setting: it is put back on both', async () => {
    await install('multi_tenancy');
    await writeFile('cms1', '/cms/admin/tenants', 'north\nsouth\neast\n');
    expect(await set('tenants=2', 4, 'multi_tenancy')).toMatchObject({
      error: { code: 'hook-failed', details: ['exit code 1', '3 tenants are defined, 2 would be allowed'] },
    });
    await set('tenants=3', 0, 'multi_tenancy');
    await soon(
      async () => (await attempt('cms2', 'cat', '/opt/cmsadm-packages/multi_tenancy/settings.env')).stdout,
    ).toContain('TENANTS="3"');
    await option('cms1', ['pkg_remove', '--name', 'multi_tenancy']);
  });

  it('a full disk: nothing of a new version, and the old one runs', async () => {
    await sh(
      'cms1',
      `mkdir -p /opt/cmsadm-packages/dual_ip && mount -t tmpfs -o size=4k,nr_inodes=3 tmpfs /opt/cmsadm-packages/dual_ip`,
    );
    try {
      expect(await install('dual_ip', 4)).toMatchObject({ error: { code: 'system-refused' } });
      expect(await sh('cms1', 'ls -A /opt/cmsadm-packages/dual_ip')).toBe('');
      expect(await sh('cms1', 'ls /cms/admin/packages/dual_ip | grep -v zdt_ || :')).toBe('');
    } finally {
      await sh('cms1', 'umount /opt/cmsadm-packages/dual_ip; rmdir /opt/cmsadm-packages/dual_ip');
    }
    expect(await isActive('cms1')).toBe('active');
  });

  it('killed at any moment: the version before or the one after runs, whole, and recover settles it', async () => {
    const known = new Map<string, string>([['1.0.0', await wholeOn('cms1')]]);
    await install('next');
    known.set('1.1.0', await wholeOn('cms1'));
    const met = new Set<string>();
    for (const after of [0.2, 0.8, 1.6, 3]) {
      await option('cms1', ['pkg_remove', '--name', history]);
      await install(history);
      await turn('on');
      // timeout(1) does not live longer than what it kills.
      await sh('cms1', `timeout --signal=KILL ${after} cmsadm pkg_install --package=/root/next.zip --yes --json; :`);
      const version = await versionOn('cms1');
      expect(await wholeOn('cms1'), `killed after ${after} s`).toBe(known.get(version));
      met.add(version);
      const recovered = await cmsadm('cms1', 'recover');
      expect(recovered.exitCode, told(recovered)).toBe(0);
      const list = objectOf(await cmsadm('cms1', 'package', 'list', '--json'));
      expect(list).toMatchObject({ packages: [{ name: history, differs: [] }] });
      expect(await isActive('cms1')).toBe('active');
      expect(await wholeOn('cms1')).toBe(known.get(await versionOn('cms1')));
      await soon(() => versionOn('cms2')).toBe(await versionOn('cms1'));
    }
    expect([...met].sort()).toEqual(['1.0.0', '1.1.0']);
  });

  it('Ctrl-C while it is installed puts it back', async () => {
    await option('cms1', ['pkg_remove', '--name', history]);
    const running = start('cms1', [
      'sh',
      '-c',
      `cmsadm pkg_install --package=/root/next.zip --yes & p=$!; while ! [ -e /opt/cmsadm-packages/${history} ]; do kill -0 $p || exit 1; done; kill -INT $p; wait $p`,
    ]);
    const { exitCode, stdout } = await running.ended();
    // Either it was in time, or the installation had ended already.
    expect([0, 130], stdout).toContain(exitCode);
    const version = await versionOn('cms1');
    expect(version).toBe(exitCode === 0 ? '1.1.0' : '');
    if (exitCode === 0) await option('cms1', ['pkg_remove', '--name', history]);
  });

  it('leave nothing on either server when they go', async () => {
    await soon(() => traces('cms1')).toBe('');
    await soon(() => traces('cms2')).toBe('');
    expect(await sh('cms1', `ls ${rowsFolder}`)).toContain('calls-2026-03-02.csv');
  });

  describe('at a real terminal', () => {
    let terminal: Terminal;
    const menu = 'Enter choice (1-12) or q to quit:';
    const question = {
      path: 'Full path of the feature package (q leaves):',
      licence: 'Full path of the licence package (default: /root/features.zip):',
      proceed: 'Proceed? (y/n, d shows the diffs):',
      name: 'Package, by number or name (q leaves):',
      state: '1 turns it on, 2 off (q leaves):',
    } as const;
    beforeAll(async () => {
      terminal = await openTerminal('cms1', 'packages');
      await terminal.type('cmsadm');
      await terminal.see(menu);
    });
    afterAll(() => terminal.close());

    it('pkg_install says why it takes no other answer, then installs', async () => {
      await writeFile('cms1', '/root/text.zip', 'no zip');
      await writeFile('cms1', '/root/damaged.zip', (await readFile('cms1', `/root/${history}.zip`)).subarray(0, 3000));
      await terminal.answer(menu, '4');
      for (const [typed, told] of [
        ['', 'is no full path.'],
        ['package.zip', 'is no full path.'],
        ['/root/absent.zip', 'cannot be read.'],
        ['/root', 'is no file.'],
        ['/root/text.zip', 'not a zip archive'],
        ['/root/damaged.zip', 'cut short'],
        ['/root/features.zip', 'not the feature package but the licence package'],
        ['/root/HAcms.zip', 'not the feature package but the HA package'],
        ['/root/forecasting.zip', 'needs what is not installed here'],
      ] as const) {
        await terminal.answer(question.path, typed);
        await terminal.see(told);
      }
      await terminal.answer(question.path, `/root/${history}.zip`);
      await terminal.answer(question.licence, '/root/licence.zip');
      await terminal.see('does not hold ECHI');
      await terminal.answer(question.licence, '');
      await terminal.answer(question.proceed, 'yes');
      await terminal.see('is none of y, n, d');
      await terminal.answer(question.proceed, 'd');
      await terminal.see('(no text, not shown)');
      await terminal.answer(question.proceed, 'y');
      await terminal.see(`Done: install ${history} 1.0.0.`);
      await soon(() => versionOn('cms2')).toBe('1.0.0');
    });

    it('run_pkg says why it takes no other answer, is left with n, then turns it on', async () => {
      await terminal.answer(menu, '6');
      for (const typed of ['2', '0', 'history', '']) {
        await terminal.answer(question.name, typed);
        await terminal.see('Type 1 or a name, or q to leave.');
      }
      await terminal.answer(question.name, '1');
      for (const typed of ['3', 'yes', '']) {
        await terminal.answer(question.state, typed);
        await terminal.see('Type 1 or on, 2 or off, or q to leave.');
      }
      await terminal.answer(question.state, '1');
      await terminal.answer(question.proceed, 'n');
      await terminal.see('Nothing was touched.');
      expect(await isActive('cms1')).toBe('inactive');
      await terminal.answer(menu, '6');
      await terminal.answer(question.name, history);
      await terminal.answer(question.state, 'on');
      await terminal.answer(question.proceed, 'y');
      await terminal.see(`Done: turn ${history} on.`);
      expect(await isActive('cms1')).toBe('active');
    });

    it('config_pkg asks each setting again until its answer is in its range', async () => {
      await terminal.answer(menu, '11');
      await terminal.answer(question.name, '1');
      await terminal.answer('on the secondary? (y/n)', 'maybe');
      await terminal.see('Type y or n.');
      await terminal.answer('on the secondary? (y/n)', '');
      for (const typed of ['0', '3601', '1.5', 'x']) {
        await terminal.answer('(1-3600)', typed);
        await terminal.see('Type a whole number from 1 to 3600.');
      }
      await terminal.answer('(1-3600)', '2');
      await terminal.answer('(1-3650)', '');
      await terminal.answer('call records come into', '$(id)');
      await terminal.see('Type it like /var/spool/call-records.');
      await terminal.answer('call records come into', '');
      await terminal.see('interval: 10 becomes 2.');
      await terminal.answer(question.proceed, 'y');
      await terminal.see(`Done: configure ${history}.`);
      expect(await sh('cms1', `cat /opt/cmsadm-packages/${history}/settings.env`)).toContain('INTERVAL="2"');
    });

    it('pkg_remove is left with q, and with Ctrl-C, then removes', async () => {
      await terminal.answer(menu, '5');
      await terminal.answer(question.name, 'q');
      await terminal.see('Nothing was touched.');
      await terminal.answer(menu, '5');
      await terminal.see(question.name);
      await terminal.press('C-c');
      expect(await terminal.exitCode()).toBe(130);
      expect(await versionOn('cms1')).toBe('1.0.0');
      await terminal.type('cmsadm pkg_remove');
      await terminal.answer(question.name, history);
      await terminal.answer(question.proceed, 'y');
      await terminal.see(`Done: remove ${history} 1.0.0.`);
      expect(await terminal.exitCode()).toBe(0);
      await soon(() => traces('cms1')).toBe('');
      await soon(() => traces('cms2')).toBe('');
      expect(tooWide(await terminal.lines())).toEqual([]);
    });
  });
});
