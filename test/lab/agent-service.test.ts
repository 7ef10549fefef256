import { afterAll, describe, expect, it } from 'vitest';
import { available } from '../../lab/lab.ts';
import { operations } from '../../src/operations.ts';
import { syncOperations } from '../../src/sync-operations.ts';
import { attempt, cms1, cms2, cmsadm, objectOf, setUp, sh, stopAtFirstFailure, told, useFreshLab } from './kit.ts';
import { openTerminal, type Terminal, tooWide } from './terminal.ts';

const { ok, why } = available();
const property = async (name: string): Promise<string> =>
  (await sh('cms1', `systemctl show --value -p ${name} cmsadm-agent`)).trim();
const isState = async (state: string): Promise<boolean> => {
  const status = objectOf(await cmsadm('cms1', 'sync', 'status', '--json'));
  return JSON.stringify(status).includes(`"name":"administration","state":"${state}"`);
};

describe.skipIf(!ok)(`the service of admin-sync and its commands${ok ? '' : ` (skipped: ${why})`}`, () => {
  useFreshLab();
  stopAtFirstFailure();
  let terminal: Terminal | undefined;
  afterAll(() => terminal?.close());

  it('is ready once it can be asked', async () => {
    await setUp();
    await sh('cms1', 'systemctl restart cmsadm-agent && cmsadm sync status --json');
    expect(await property('Type')).toBe('notify');
    expect(await property('WatchdogUSec')).toBe('1min');
    expect(await property('KillMode')).toBe('mixed');
    expect(await property('ActiveState')).toBe('active');
    await expect.poll(() => isState('in step'), { timeout: 10_000 }).toBe(true);
  });

  it('lets nobody but root at its socket and status, and everybody at its metrics', async () => {
    const modes = 'cd /run/cmsadm && stat -c "%a %U" . agent.sock agent.json metrics.prom';
    expect((await sh('cms1', modes)).trim().split('\n')).toEqual(['711 root', '600 root', '600 root', '644 root']);
    expect(await sh('cms1', 'su -s /bin/sh nobody -c "cat /run/cmsadm/metrics.prom"')).toContain(
      'cmsadm_sync_set_state{set="administration",state="in step"} 1\n',
    );
    expect((await attempt('cms1', 'su', '-s', '/bin/sh', 'nobody', '-c', 'ls /run/cmsadm')).exitCode).not.toBe(0);
  });

  it('carries set-id bits, from wherever a data set lies', async () => {
    await sh('cms1', 'cp /bin/true /cms/admin/tool && chown operator /cms/admin/tool && chmod 6755 /cms/admin/tool');
    await expect
      .poll(async () => (await attempt('cms2', 'stat', '-c', '%a %U', '/cms/admin/tool')).stdout.trim(), {
        timeout: 10_000,
      })
      .toBe('6755 operator');
  });

  it('sees what is mounted over a data set, and that it is gone again', async () => {
    await sh('cms1', 'mount -t tmpfs none /cms/admin');
    await cmsadm('cms1', 'sync', 'now');
    await expect.poll(() => isState('held'), { timeout: 90_000, interval: 500 }).toBe(true);
    await sh('cms1', 'umount /cms/admin');
    await cmsadm('cms1', 'sync', 'now');
    await expect.poll(() => isState('in step'), { timeout: 90_000, interval: 500 }).toBe(true);
    expect(await sh('cms2', 'cat /cms/admin/tool | wc -c')).not.toBe('0\n');
  });

  it.each(['now', 'pause', 'resume', 'diff', 'release administration'])(
    'refuses sync %s on the secondary and names the primary',
    async (words) => {
      const result = await cmsadm('cms2', 'sync', ...words.split(' '), '--json');
      expect(result.exitCode, told(result)).toBe(3);
      expect(objectOf(result)).toMatchObject({
        error: { code: 'not-authority', server: cms2.fqdn, message: expect.stringContaining(cms1.fqdn) },
      });
    },
  );

  it('holds back what is changed while it is paused, over a restart too, and sends it afterwards', async () => {
    expect((await cmsadm('cms1', 'sync', 'pause')).exitCode).toBe(0);
    await sh('cms1', 'systemctl restart cmsadm-agent; echo x > /cms/admin/paused');
    expect(await sh('cms1', 'cmsadm sync status')).toMatch(/^ {2}paused {5}by root since /m);
    expect((await attempt('cms2', 'cat', '/cms/admin/paused')).exitCode).not.toBe(0);
    expect(objectOf(await cmsadm('cms1', 'sync', 'now', '--json'))).toMatchObject({ error: { code: 'sync-paused' } });
    expect((await cmsadm('cms1', 'sync', 'resume')).exitCode).toBe(0);
    await expect
      .poll(async () => (await attempt('cms2', 'cat', '/cms/admin/paused')).stdout, { timeout: 10_000 })
      .toContain('x');
    expect(await sh('cms1', 'cat /var/log/cmsadm/admin.log')).toMatch(/ root outcome: admin-sync paused$/m);
    const diff = await cmsadm('cms1', 'sync', 'diff', '--json');
    expect(objectOf(diff), told(diff)).toMatchObject({ outcome: 'nothing differs' });
  });

  it('tells on either server that an agent does not run, and what to do', async () => {
    await sh('cms1', 'systemctl stop cmsadm-agent');
    const own = await cmsadm('cms1', 'sync', 'status', '--json');
    expect(own.exitCode, told(own)).toBe(3);
    expect(objectOf(own)).toMatchObject({
      servers: [
        { name: cms1.fqdn, reachable: false },
        { name: cms2.fqdn, reachable: true },
      ],
      error: { code: 'agent-not-running', server: cms1.fqdn },
    });
    const other = await cmsadm('cms2', 'sync', 'status', '--json');
    expect(other.exitCode, told(other)).toBe(0);
    expect(objectOf(other)).toMatchObject({
      servers: [{ reachable: true }, { reachable: false, error: { code: 'agent-not-running' } }],
    });
    const key = 'ssh -i /root/.ssh/id_cmsadm -o IdentitiesOnly=yes -o BatchMode=yes';
    const piped = await attempt('cms2', 'sh', '-c', `${key} ${cms1.address} cmsadm peer sync < /dev/null`);
    expect(piped.exitCode, told(piped)).toBe(3);
    expect(piped.stderr).toContain('systemctl start cmsadm-agent');
    await sh('cms1', 'systemctl start cmsadm-agent');
  });

  it('can be watched at a terminal, and is in the menu', async () => {
    terminal = await openTerminal('cms1', 'sync');
    await terminal.type('cmsadm sync status --watch');
    await terminal.see('administration  in step');
    await new Promise((resolve) => setTimeout(resolve, 3_500));
    const titles = (await terminal.lines()).filter((line) => line.startsWith(`${cms1.fqdn} (`));
    expect(titles).toHaveLength(1);
    await terminal.press('C-c');
    // Its echo stands before the prompt.
    await terminal.see('^Croot@');
    await terminal.type('echo "left with $?"');
    await terminal.see('left with 130');
    await terminal.type('cmsadm');
    await terminal.answer('Enter choice (1-12) or q to quit:', '12');
    await terminal.answer(`Enter choice (1-${operations.length + 1}) or q to quit:`, `${operations.length + 1}`);
    await terminal.answer(`Enter choice (1-${syncOperations.length}) or q to quit:`, '2');
    await terminal.see('administration: ok, 0 sent, 0 removed');
    await terminal.answer('Enter choice (1-12) or q to quit:', 'q');
    expect(await terminal.exitCode()).toBe(0);
    expect(tooWide(await terminal.lines())).toEqual([]);
  });

  it('is started again where it hangs', async () => {
    // A shorter minute: it tells every 15 s that it works.
    const [folder, file] = ['/run/systemd/system/cmsadm-agent.service.d', 'sooner.conf'];
    await sh('cms1', `mkdir ${folder}; printf '[Service]\\nWatchdogSec=25\\n' >${folder}/${file}`);
    await sh('cms1', 'systemctl daemon-reload; systemctl restart cmsadm-agent');
    await expect.poll(() => isState('in step'), { timeout: 20_000 }).toBe(true);
    const before = await property('MainPID');
    await sh('cms1', `kill -STOP ${before}`);
    await expect
      .poll(async () => `${await property('NRestarts')} ${await property('ActiveState')}`, {
        timeout: 90_000,
        interval: 1_000,
      })
      .toBe('1 active');
    expect(await property('MainPID')).not.toBe(before);
    await expect.poll(() => isState('in step'), { timeout: 20_000 }).toBe(true);
  }, 120_000);
});
