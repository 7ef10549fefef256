import { cpSync, mkdtempSync, readFileSync, rmSync, truncateSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { execa } from 'execa';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { available, copyIn, cut, exec, heal, powerOff, powerOn, writeFile } from '../../lab/lab.ts';
import { installPackage } from '../../lab/product.ts';
import { PROTOCOL } from '../../src/protocol.ts';
import {
  attempt,
  cms1,
  cms2,
  cmsadm,
  configHa,
  lockHolder,
  objectOf,
  pair,
  type Server,
  setUp,
  sh,
  start,
  stopAtFirstFailure,
  told,
  useFreshLab,
} from './kit.ts';
import { differences, filesOf, type Standing } from './standing.ts';

const { ok, why } = available();
const projectRoot = fileURLToPath(new URL('../..', import.meta.url));
const present: string = JSON.parse(readFileSync(join(projectRoot, 'package.json'), 'utf8')).version;

/** Packages of these very sources under other versions, the later ones with later protocols. */
const packages = {
  older: { version: '0.0.1', protocol: PROTOCOL },
  next: { version: '50.0.0', protocol: PROTOCOL + 1 },
  afterNext: { version: '51.0.0', protocol: PROTOCOL + 2 },
  tooFar: { version: '90.0.0', protocol: PROTOCOL + 3 },
} as const;
const placeOf = (name: keyof typeof packages): string => `/root/HAcms_${packages[name].version}.zip`;
const newer = packages.next.version;

describe.skipIf(!ok)(`the upgrade of a pair${ok ? '' : ` (skipped: ${why})`}`, () => {
  useFreshLab({ confirmSeconds: 10 });
  stopAtFirstFailure();
  const folder = mkdtempSync(join(tmpdir(), 'cmsadm-upgrade-'));
  afterAll(() => rmSync(folder, { recursive: true, force: true }));
  let before: Record<Server, Standing>;

  beforeAll(async () => {
    for (const { version, protocol } of Object.values(packages)) {
      const out = join(folder, `HAcms_${version}.zip`);
      const args = ['run', '-s', 'package', '--', `--version=${version}`, `--protocol=${protocol}`, `--out=${out}`];
      await execa('npm', args, { cwd: projectRoot });
      await copyIn('cms1', out, `/root/HAcms_${version}.zip`);
    }
    const torn = join(folder, 'torn.zip');
    cpSync(join(folder, `HAcms_${newer}.zip`), torn);
    truncateSync(torn, 30_000_000);
    await copyIn('cms1', torn, '/root/torn.zip');
    await setUp();
    before = { cms1: await filesOf('cms1', ['/etc', '/opt']), cms2: await filesOf('cms2', ['/etc', '/opt']) };
  }, 300_000);

  const agentFails = async (server: Server, how: string | undefined) => {
    const drop = '/etc/systemd/system/cmsadm-agent.service.d';
    await sh(server, `rm -rf ${drop}`);
    if (how !== undefined) {
      await sh(server, `mkdir ${drop}`);
      await writeFile(server, `${drop}/test.conf`, `[Service]\n${how}\n`);
    }
    await sh(server, 'systemctl daemon-reload');
  };
  afterEach(async () => {
    for (const server of pair) await agentFails(server, undefined);
  });

  const upgradeArgs = (zip: string) => ['config_HA', 'upgrade', `--ha-package=${zip}`];
  const expectVersion = async (server: Server, version: string) => {
    expect((await cmsadm(server, '--version')).stdout.trim(), server).toBe(version);
    expect(await sh(server, 'readlink /opt/cmsadm/current'), server).toBe(`releases/${version}`);
    // The program of the process that runs, not of the file that was started.
    const runs = 'readlink -f /proc/$(systemctl show -P MainPID cmsadm-agent)/exe';
    await expect
      .poll(() => sh(server, runs), { timeout: 20_000, message: server })
      .toBe(`/opt/cmsadm/releases/${version}/node/bin/node`);
  };
  const nothingLeft = async (server: Server) => {
    expect(
      await sh(
        server,
        'ls -d /opt/cmsadm/way-back /opt/cmsadm/*.new /opt/cmsadm/releases/.[!.]* /run/cmsadm/lock 2>/dev/null; true',
      ),
    ).toBe('');
    expect(await sh(server, "systemctl list-units --all --plain --no-legend 'cmsadm-way-back-*'"), server).toBe('');
  };
  const expectAsBefore = async () => {
    for (const server of pair) {
      await expectVersion(server, present);
      await nothingLeft(server);
      expect(differences(before[server], await filesOf(server, ['/etc', '/opt'])), server).toEqual([]);
    }
  };
  /** What is written on one server's data set comes to the other. */
  const expectInStep = async (from: Server, to: Server) => {
    const text = `${from} ${Date.now()}`;
    await sh(from, `echo "${text}" > /cms/admin/marker`);
    await expect
      .poll(async () => (await attempt(to, 'cat', '/cms/admin/marker')).stdout.trim(), { timeout: 40_000 })
      .toBe(text);
  };

  it.each([
    { name: 'an older version', zip: placeOf('older'), code: 'upgrade-refused', says: /newer/ },
    { name: 'a package cut short', zip: '/root/torn.zip', code: 'answers-refused', says: /cut short/ },
    { name: 'the licence package', zip: '/root/licence.zip', code: 'answers-refused', says: /not the HA package/ },
    {
      name: 'a version that speaks too differently',
      zip: placeOf('tooFar'),
      code: 'upgrade-refused',
      says: /protocol/,
    },
  ])('refuses $name and touches nothing', async ({ zip, code, says }) => {
    const result = await configHa('cms1', upgradeArgs(zip).slice(1), 3);
    expect(result).toMatchObject({ error: { code, details: [expect.stringMatching(says)] } });
    await expectAsBefore();
  });

  it('is refused on the secondary, and while the other server is away', async () => {
    expect(await configHa('cms2', upgradeArgs('/root/any.zip').slice(1), 3)).toMatchObject({
      error: { code: 'not-primary' },
    });
    await cut('cms2');
    try {
      expect(await configHa('cms1', upgradeArgs(placeOf('next')).slice(1), 3)).toMatchObject({
        error: { code: 'peer-away', remedy: expect.stringContaining('Bring cms2.lab.example back') },
      });
    } finally {
      await heal('cms2');
    }
  });

  it('shows the plan and touches nothing with --dry-run', async () => {
    const result = await cmsadm('cms1', ...upgradeArgs(placeOf('next')), '--dry-run');
    expect(result.exitCode, told(result)).toBe(2);
    expect(result.stdout).toContain(`${cms2.fqdn} (10.77.0.12) becomes cmsadm ${newer}, from ${present}`);
    expect(result.stdout).toContain(`${cms1.fqdn} (10.77.0.11) becomes cmsadm ${newer}, from ${present}`);
    expect(result.stdout).not.toContain('Backup tag');
    await expectAsBefore();
  });

  it.each(pair)(
    'puts both back when the agent of the new version dies again and again on %s',
    async (server) => {
      const dies = `grep -q ${newer} /opt/cmsadm/current/package.json && { sleep 1; exit 7; }; exec /usr/local/sbin/cmsadm agent`;
      await agentFails(server, `ExecStart=\nExecStart=/bin/sh -c '${dies}'`);
      const result = await cmsadm('cms1', ...upgradeArgs(placeOf('next')), '--yes', '--json');
      expect(result.exitCode, told(result)).toBe(4);
      const error = JSON.stringify(objectOf(result));
      // It never told systemd that it is ready.
      expect(error).toContain('"code":"service-failed"');
      expect(error).toContain(`${cms1.fqdn}: as before.`);
      expect(error).toContain(`${cms2.fqdn}: as before.`);
      await agentFails(server, undefined);
      await expectAsBefore();
      await expectInStep('cms1', 'cms2');
    },
    300_000,
  );

  it('an interruption between the two switches puts both back', async () => {
    const running = start('cms1', ['cmsadm', ...upgradeArgs(placeOf('next')), '--yes']);
    await running.says(`Changing ${cms1.fqdn}`);
    await exec('cms1', ['kill', '-INT', await lockHolder('cms1')]);
    const result = await running.ended();
    expect(result.exitCode, told(result)).toBe(130);
    await expectAsBefore();
  });

  it('what was switched goes back by its timer, run by the old program, when the command is killed', async () => {
    const running = start('cms1', ['cmsadm', ...upgradeArgs(placeOf('next')), '--yes']);
    await running.says('Proving a fresh login');
    await exec('cms1', ['kill', '-KILL', await lockHolder('cms1')]);
    await running.ended();
    for (const server of pair)
      await expect
        .poll(() => sh(server, 'readlink /opt/cmsadm/current'), { timeout: 60_000, message: server })
        .toBe(`releases/${present}`);
    for (const server of pair) {
      await expectVersion(server, present);
      const recovered = await cmsadm(server, 'recover');
      expect(recovered.exitCode, told(recovered)).toBe(0);
    }
    await expectInStep('cms1', 'cms2');
  });

  it('a secondary that loses its power in the middle comes back with the old version, even if the new one is useless', async () => {
    const running = start('cms1', ['cmsadm', ...upgradeArgs(placeOf('next')), '--yes']);
    await running.says(`Changing ${cms2.fqdn}`);
    await expect
      .poll(() => sh('cms2', 'readlink /opt/cmsadm/current'), { timeout: 20_000, interval: 50 })
      .toBe(`releases/${newer}`);
    await sh('cms2', `rm /opt/cmsadm/releases/${newer}/dist/cli.js; sync`);
    await powerOff('cms2');
    const result = await running.ended();
    expect([4, 5], told(result)).toContain(result.exitCode);
    await powerOn('cms2');
    for (const server of pair) {
      await expectVersion(server, present);
      const recovered = await cmsadm(server, 'recover');
      expect(recovered.exitCode, told(recovered)).toBe(0);
    }
    await expectInStep('cms1', 'cms2');
  });

  it('brings both to the new version, which the agents and fresh logins prove; the release before stays', async () => {
    const result = await configHa('cms1', upgradeArgs(placeOf('next')).slice(1));
    expect(result).toMatchObject({ outcome: 'done', version: newer });
    for (const server of pair) {
      await expectVersion(server, newer);
      await nothingLeft(server);
      expect(await sh(server, 'ls /opt/cmsadm/releases'), server).toBe([present, newer].sort().join('\n'));
    }
    await expectInStep('cms1', 'cms2');
    expect(await configHa('cms1', upgradeArgs(placeOf('next')).slice(1))).toMatchObject({ outcome: 'nothing to do' });
    const shown = await configHa('cms1', ['show']);
    expect(shown).toMatchObject({
      views: [
        { alarms: [], unfinished: [] },
        { alarms: [], unfinished: [] },
      ],
    });
  });

  it('goes back to the release before, which is kept, and forth again', async () => {
    const back = () => configHa('cms1', ['upgrade', '--back']);
    expect(await back()).toMatchObject({ outcome: 'done', version: present });
    for (const server of pair) await expectVersion(server, present);
    await expectInStep('cms1', 'cms2');
    expect(await back()).toMatchObject({ outcome: 'done', version: newer });
    for (const server of pair) await expectVersion(server, newer);
  });

  it('two servers one protocol apart work as a pair in both directions', async () => {
    await installPackage('cms1', join(folder, `HAcms_${packages.afterNext.version}.zip`));
    await sh('cms1', 'systemctl restart cmsadm-agent');
    await expectVersion('cms1', packages.afterNext.version);
    await expectVersion('cms2', newer);
    expect((await cmsadm('cms1', 'config_HA', 'show')).stdout).toContain('They run two versions of cmsadm');
    await expectInStep('cms1', 'cms2');
    expect(await configHa('cms1', ['reverse'])).toMatchObject({ outcome: 'done' });
    await expectInStep('cms2', 'cms1');
    expect(await configHa('cms2', ['reverse'])).toMatchObject({ outcome: 'done' });
    await expectInStep('cms1', 'cms2');
  });

  it('an upgrade then brings the other one along, and removes what is older than the release before', async () => {
    const { version } = packages.afterNext;
    expect(await configHa('cms1', upgradeArgs(placeOf('afterNext')).slice(1))).toMatchObject({
      outcome: 'done',
      version,
    });
    for (const server of pair) await expectVersion(server, version);
    expect(await sh('cms2', 'ls /opt/cmsadm/releases')).toBe([newer, version].join('\n'));
    await expectInStep('cms1', 'cms2');
  });
});
