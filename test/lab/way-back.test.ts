import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { available, cut, exec, heal, powerOff, powerOn, slow, writeFile } from '../../lab/lab.ts';
import {
  argsOf,
  attempt,
  cms1,
  cms2,
  cmsadm,
  configHa,
  type Flags,
  lockHolder,
  objectOf,
  pair,
  rightAnswers,
  type Server,
  setUp,
  sh,
  start,
  told,
  useFreshLab,
} from './kit.ts';
import { changedFiles, differences, filesOf, type Standing } from './standing.ts';

const { ok, why } = available();

/** The window in which an unconfirmed change waits: the shortest that the settings allow. */
const confirmSeconds = 10;

/** Makes the database stand-in of a server slow to start, or makes it fail on the planned configuration. */
async function database(server: Server, before: 'slow' | 'fails' | 'as it was'): Promise<void> {
  const folder = '/etc/systemd/system/ids.service.d';
  const command = before === 'slow' ? '/bin/sleep 3' : "/bin/sh -c '! grep -q cms_ids /etc/services'";
  await sh(server, `rm -rf ${folder}`);
  if (before !== 'as it was') {
    await sh(server, `mkdir ${folder}`);
    await writeFile(server, `${folder}/test.conf`, `[Service]\nExecStartPre=${command}\n`);
  }
  await sh(server, 'systemctl daemon-reload');
}

describe.skipIf(!ok)(`the way back${ok ? '' : ` (skipped: ${why})`}`, () => {
  useFreshLab({ confirmSeconds });
  let before: Record<Server, Standing>;
  let flags: Flags;

  // Only the change is looked at: the link is made once, and stays.
  beforeAll(async () => {
    flags = await rightAnswers();
    before = { cms1: await filesOf('cms1', changedFiles), cms2: await filesOf('cms2', changedFiles) };
    const tag = await setUp();
    await configHa('cms1', ['restore', `--tag=${tag}`]);
  });
  afterEach(async () => {
    for (const server of pair) await database(server, 'as it was');
  });

  const setUpArgs = () => ['cmsadm', 'config_HA', 'setup', ...argsOf(flags), '--yes'];

  const expectAsBefore = async (server: Server) => {
    expect(differences(before[server], await filesOf(server, changedFiles)), server).toEqual([]);
    expect(await sh(server, 'ls /root/.*.staged /etc/.*.staged 2>/dev/null; true'), server).toBe('');
  };
  const asBefore = async (server: Server, timeout: number) => {
    await expect
      .poll(async () => differences(before[server], await filesOf(server, changedFiles)), {
        timeout,
        interval: 500,
        message: server,
      })
      .toEqual([]);
  };
  const alarmsOf = async (server: Server): Promise<string> => {
    const shown = await cmsadm(server, 'config_HA', 'show', '--json');
    return JSON.stringify(objectOf(shown));
  };
  const recovers = async (server: Server) => {
    const result = await cmsadm(server, 'recover');
    expect(result.exitCode, told(result)).toBe(0);
    return result.stdout.replaceAll(/\s+/g, ' ');
  };
  /** A session that heard nothing for half a minute ends, and with it the lock that it held on cms2. */
  const sessionGivenUp = async () => {
    await expect
      .poll(async () => (await attempt('cms2', 'test', '-e', '/run/cmsadm/lock')).exitCode, { timeout: 40_000 })
      .toBe(1);
  };
  /** What a person does after the alarm: restart what still runs with the other configuration. */
  const restartServices = async () => {
    for (const server of pair) await sh(server, 'systemctl restart ids cms');
  };

  it.each(pair)(
    'puts both back when a service of %s fails on the new configuration, and tells both',
    async (server) => {
      await database(server, 'fails');
      const result = await cmsadm('cms1', 'config_HA', 'setup', ...argsOf(flags), '--yes', '--json');
      expect(result.exitCode, told(result)).toBe(4);
      const object = JSON.stringify(objectOf(result));
      expect(object).toContain('"code":"service-failed"');
      expect(object).toContain(`${cms1.fqdn}: as before.`);
      expect(object).toContain(`${cms2.fqdn}: as before.`);
      for (const one of pair) {
        await expectAsBefore(one);
        expect(await sh(one, 'systemctl is-active ids cms'), one).toBe('active\nactive');
      }
    },
  );

  it('puts both back on an interruption in the middle, and leaves with 130; nobody else gets in meanwhile', async () => {
    await database('cms2', 'slow');
    const running = start('cms1', setUpArgs());
    await running.says(`Changing ${cms2.fqdn}`);
    const second = await cmsadm('cms1', 'config_HA', 'setup', ...argsOf(flags), '--yes', '--json');
    expect(second.exitCode, told(second)).toBe(3);
    expect(second.stdout).toMatch(/is changing this pair/);
    await exec('cms1', ['kill', '-INT', await lockHolder('cms1')]);
    const result = await running.ended();
    expect(result.exitCode, told(result)).toBe(130);
    for (const server of pair) await expectAsBefore(server);
    expect(await sh('cms1', 'tail -n 1 /var/log/cmsadm/admin.log')).toMatch(/ outcome: .*Interrupted/);
  });

  it('puts the peer back by itself when the coordinator is killed, and the coordinator’s server by the next command', async () => {
    await database('cms1', 'slow');
    const running = start('cms1', setUpArgs());
    await running.says(`Changing ${cms1.fqdn}`);
    // In the middle of it: the files are replaced, a service starts.
    await expect
      .poll(async () => (await attempt('cms1', 'systemctl', 'is-active', 'ids')).stdout, { timeout: 20_000 })
      .toBe('activating');
    await exec('cms1', ['kill', '-KILL', await lockHolder('cms1')]);
    await running.ended();
    await asBefore('cms2', 5000);
    // The files come first, the alarm when all is done.
    await expect
      .poll(() => alarmsOf('cms2'), { timeout: 20_000, interval: 1000 })
      .toMatch(/put back: it was never confirmed.*restart it/);
    // The journal takes a moment to hold what was written.
    await expect
      .poll(() => sh('cms2', 'journalctl --boot --identifier=cmsadm --output=cat'), { timeout: 10_000 })
      .toMatch(/^event change-put-back: zdt_\S+: put back: it was never confirmed/m);
    expect(await sh('cms2', 'ssh -V 2>&1; sshd -t && systemctl is-active ssh')).toContain('active');
    const refused = await cmsadm('cms1', 'config_HA', 'reverse', '--yes', '--json');
    expect(refused.exitCode, told(refused)).toBe(3);
    expect(JSON.stringify(objectOf(refused))).toMatch(/"code":"unfinished".*put back: it was never confirmed.*Restart/);
    await expectAsBefore('cms1');
    const said = await recovers('cms1');
    for (const { fqdn } of [cms1, cms2]) {
      expect(said).toContain(`${fqdn}: nothing was left open.`);
      expect(said).toMatch(new RegExp(`${fqdn}: seen: \\S+ zdt_\\S+ put back: it was never confirmed`));
    }
    for (const server of pair) expect(await alarmsOf(server), 'both are acknowledged').not.toContain('put back');
    await restartServices();
  });

  it('puts both back when the coordinator’s server loses power: the peer by its timer, the other at its boot', async () => {
    await slow('cms2', { delayMs: 150 });
    const running = start('cms1', setUpArgs());
    await running.says('Proving a fresh login in both directions');
    await powerOff('cms1');
    await running.ended();
    await slow('cms2');
    await asBefore('cms2', (confirmSeconds + 5) * 1000);
    await powerOn('cms1');
    await expectAsBefore('cms1');
    expect(await sh('cms1', 'journalctl --boot --unit=cmsadm-recover --output=cat')).toMatch(
      /put back: it was never confirmed/,
    );
    await sessionGivenUp();
    for (const server of pair)
      expect(await alarmsOf(server), server).toMatch(
        /put back: it was never confirmed.*put back: it was never confirmed/,
      );
    await recovers('cms2');
    for (const server of pair) expect(await alarmsOf(server), server).not.toContain('put back');
    await restartServices();
  });

  it('never leaves the two mixed when the cable is pulled between commit and confirmation', async () => {
    await slow('cms2', { delayMs: 150 });
    const running = start('cms1', setUpArgs());
    await running.says('Proving a fresh login in both directions');
    await cut('cms2');
    const result = await running.ended();
    await slow('cms2');
    await heal('cms2');
    expect(result.exitCode, told(result)).toBe(5);
    expect(result.stdout).toContain(`${cms1.fqdn}: as before.`);
    await asBefore('cms2', (confirmSeconds + 5) * 1000);
    await expectAsBefore('cms1');
    await sessionGivenUp();
    for (const server of pair) await recovers(server);
    await restartServices();
  });

  it('puts both back while the run stands still, which finds that out when it goes on', async () => {
    await slow('cms2', { delayMs: 150 });
    // By the service manager: what starts a command from outside would stand still with it.
    const running = start('cms1', ['systemd-run', '--quiet', '--pipe', '--wait', '--', ...setUpArgs()]);
    await running.says('Proving a fresh login in both directions');
    const run = await lockHolder('cms1');
    await exec('cms1', ['kill', '-STOP', run]);
    await slow('cms2');
    for (const server of pair) await asBefore(server, (confirmSeconds + 5) * 1000);
    await expect.poll(() => alarmsOf('cms1'), { timeout: 20_000, interval: 1000 }).toContain('put back');
    await exec('cms1', ['kill', '-CONT', run]);
    const result = await running.ended();
    expect(result.exitCode, told(result)).toBe(5);
    expect(result.stdout).toContain(`${cms1.fqdn}: as before.`);
    expect(result.stdout.replaceAll(/\s+/g, ' ')).toMatch(
      /cms1\S+: (ids|cms).service still runs with the configuration/,
    );
    for (const server of pair) await expectAsBefore(server);
    await recovers('cms1');
    await restartServices();
  });

  it('keeps an edit that somebody makes meanwhile, beside the file that is put back', async () => {
    await database('cms1', 'slow');
    const running = start('cms1', setUpArgs());
    await running.says(`Changing ${cms1.fqdn}`);
    await sh('cms2', 'echo "# a line of the administrator" >>/etc/hosts');
    await exec('cms1', ['kill', '-INT', await lockHolder('cms1')]);
    const result = await running.ended();
    expect(result.exitCode, told(result)).toBe(130);
    const kept = /an edit made meanwhile is kept in\s+(\/etc\/hosts\.zdt_\d+_\d+\.edited)/.exec(
      result.stdout.replaceAll(/\s+/g, ' '),
    )?.[1];
    expect(kept, result.stdout).toBeDefined();
    expect(await sh('cms2', `tail -n 1 ${kept}`)).toBe('# a line of the administrator');
    for (const server of pair) await expectAsBefore(server);
  });

  it('sets the pair up after all that', async () => {
    await setUp();
    expect((await cmsadm('cms1', 'config_HA', 'show')).stdout).toContain('Both servers agree.');
    expect((await attempt('cms2', 'systemctl', 'is-active', 'ids', 'cms')).stdout).toBe('active\nactive');
    for (const server of pair)
      expect(await sh(server, 'systemctl list-timers --all --no-legend "cmsadm-way-back*"'), server).toBe('');
  });
});
