// A configuration of keepalived that the profile renders for each server: judged by the real keepalived before anything
// changes, and in force after it.
import { readFileSync } from 'node:fs';
import { beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { available, exec } from '../../lab/lab.ts';
import {
  argsOf,
  attempt,
  cms1,
  cms2,
  cmsadm,
  configHa,
  pair,
  rightAnswers,
  setUp,
  sh,
  stopAtFirstFailure,
  told,
  useFreshLab,
} from './kit.ts';

const { ok, why } = available();

const path = '/etc/keepalived/keepalived.conf';
/** Of the lab's network, nobody's own. */
const cluster = '10.77.0.50';
const text = (instance: string): string => `global_defs {
  router_id @{fqdn}
}
vrrp_instance cms {
  # @{role}
  state BACKUP
  nopreempt
  ${instance}
  virtual_router_id 51
  priority 100
  unicast_src_ip @{address}
  unicast_peer {
    @{peer-address}
  }
  virtual_ipaddress {
    ${cluster}/24
  }
}
`;
const service = { label: 'keepalived', unit: 'keepalived.service', change: 'restart', seconds: 20, interruption: 0 };

/** The lab's profile with a row for keepalived, on both servers. */
async function profileWith(instance: string): Promise<void> {
  const cms = parse(readFileSync(new URL('../../profiles/cms.yaml', import.meta.url), 'utf8'));
  const row = {
    kind: 'rendered',
    path,
    step: 'change',
    mode: '0640',
    judge: 'keepalived',
    services: ['failover'],
    text: text(instance),
  };
  const keys = {
    files: [...cms.files, row],
    services: { ...cms.services, failover: service },
  };
  const lines = Object.entries(keys).map(([key, value]) => `${key}: ${JSON.stringify(value)}\n`);
  const profile = '/etc/cmsadm/profiles/lab.yaml';
  await sh('cms1', `test -e ${profile}.before || cp ${profile} ${profile}.before; cp ${profile}.before ${profile}`);
  await exec('cms1', ['sh', '-c', `cat >> ${profile}`], { input: lines.join('') });
  // The first link copied it to the other server; from then on both are kept equal by hand.
  const copied = await sh('cms1', `cat ${profile}`);
  if ((await attempt('cms2', 'test', '-e', profile)).exitCode === 0)
    await exec('cms2', ['sh', '-c', `cat > ${profile}`], { input: copied });
}

describe.skipIf(!ok)(`keepalived's configuration${ok ? '' : ` (skipped: ${why})`}`, () => {
  useFreshLab();
  stopAtFirstFailure();

  beforeAll(async () => {
    // It starts once it has a configuration.
    await Promise.all(pair.map((server) => sh(server, `rm -f ${path}; systemctl enable keepalived`)));
  });

  it('is refused by keepalived itself where it is wrong, and nothing is touched on either server', async () => {
    await profileWith('interface host0\n  advert_int often\n  no_such_word 1');
    const hosts = await Promise.all(pair.map((server) => sh(server, 'cat /etc/hosts')));
    const refused = await cmsadm('cms1', 'config_HA', 'setup', ...argsOf(await rightAnswers()), '--json', '--yes');
    expect(refused.exitCode, told(refused)).toBe(4);
    expect(refused.stdout).toContain('judged-bad');
    expect(refused.stdout).toMatch(/no_such_word|advert/);
    expect(await Promise.all(pair.map((server) => sh(server, 'cat /etc/hosts')))).toEqual(hosts);
    for (const server of pair) expect((await attempt(server, 'test', '-e', path)).exitCode, server).toBe(1);
  });

  it('is in force on both servers after set up', async () => {
    await profileWith('interface host0');
    await setUp();
    expect(await sh('cms1', `cat ${path}`)).toContain(`unicast_src_ip ${cms1.address}`);
    expect(await sh('cms2', `cat ${path}`)).toContain(`unicast_src_ip ${cms2.address}`);
    for (const server of pair) {
      // A service that did not run is left so.
      expect((await attempt(server, 'systemctl', 'is-active', 'keepalived')).stdout.trim(), server).toBe('inactive');
      await sh(server, 'systemctl start keepalived');
      expect((await attempt(server, 'keepalived', '--config-test', '--use-file', path)).exitCode, server).toBe(0);
    }
  });

  it('has one of them hold the address', async () => {
    const held = async (): Promise<number> =>
      (await Promise.all(pair.map((server) => sh(server, 'ip -br address')))).filter((told) => told.includes(cluster))
        .length;
    await expect.poll(held, { timeout: 20_000, interval: 300 }).toBe(1);
  });

  it('follows a reversal, and goes with the pair', async () => {
    const runs = () =>
      Promise.all(pair.map((server) => sh(server, 'systemctl show --property=InvocationID keepalived')));
    const before = await runs();
    await configHa('cms1', ['reverse']);
    const after = await runs();
    for (const [index, run] of after.entries()) expect(run).not.toBe(before[index]);
    expect(await sh('cms1', `cat ${path}`)).toContain('# secondary');
    expect(await sh('cms2', `cat ${path}`)).toContain('# primary');
    await configHa('cms2', ['disable', `--peer=${cms1.fqdn}`]);
    for (const server of pair) expect((await attempt(server, 'test', '-e', path)).exitCode, server).toBe(1);
  });
});
