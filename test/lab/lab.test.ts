import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { execa } from 'execa';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { baseFolder } from '../../lab/base.ts';
import { start } from '../../lab/chaos/running.ts';
import {
  addresses,
  available,
  copyIn,
  cut,
  down,
  exec,
  freeze,
  heal,
  powerOff,
  powerOn,
  readFile,
  reset,
  slow,
  thaw,
  up,
  writeFile,
} from '../../lab/lab.ts';
import { isAlive } from '../../lab/processes.ts';
import { serverNames } from '../../lab/servers.ts';
import { sshArgv } from '../../lab/ssh.ts';
import { labFolder, readState, recordedProcesses } from '../../lab/state.ts';

const { ok, why } = available();

/** Exit code and output of a command that may fail. */
const attempt = (name: 'cms1' | 'cms2' | 'probe', ...argv: string[]) => exec(name, argv, { reject: false });

const overSsh = async (name: 'cms1' | 'cms2' | 'probe', ...command: string[]) => {
  const [file, ...args] = sshArgv(name, command);
  return execa(file, args, { reject: false, stdin: 'ignore' });
};

const leftovers = () => ({
  bridge: existsSync('/sys/class/net/cmslab0'),
  cables: serverNames.filter(
    (name) => existsSync(`/sys/class/net/vb-${name}`) || existsSync(`/sys/class/net/sl-${name}`),
  ),
  mounts: readFileSync('/proc/self/mountinfo', 'utf8').includes(` ${labFolder}/`),
  folder: existsSync(labFolder),
  groups: ['', '/unified', '/systemd'].some((root) => existsSync(`/sys/fs/cgroup${root}/cmsadm-lab`)),
});
const nothing = { bridge: false, cables: [], mounts: false, folder: false, groups: false };

describe.skipIf(!ok)(`the lab${ok ? '' : ` (skipped: ${why})`}`, () => {
  beforeAll(async () => {
    await down();
    await up();
  }, 600_000);
  afterAll(down);

  it('boots three servers whose systemd finds nothing wrong', async () => {
    for (const name of serverNames) {
      expect((await attempt(name, 'systemctl', 'is-system-running')).stdout).toBe('running');
      expect((await exec(name, ['hostname', '--fqdn'])).stdout).toBe(addresses()[name].fqdn);
    }
  });

  it('comes up again in less than 15 s', async () => {
    expect(existsSync(baseFolder())).toBe(true);
    await down();
    const began = Date.now();
    expect(await up()).toHaveLength(3);
    expect(Date.now() - began).toBeLessThan(15_000);
  });

  it('answers by SSH under the pinned host keys', async () => {
    for (const name of serverNames) expect((await overSsh(name, 'id', '-un')).stdout).toBe('root');
  });

  it('gives the servers no node, unzip or python', async () => {
    const tools = ['node', 'nodejs', 'unzip', 'python3', 'python', 'npm'];
    for (const name of ['cms1', 'cms2'] as const) {
      expect((await attempt(name, 'which', '-a', ...tools)).stdout).toBe('');
    }
  });

  it('has no way out and asks no name server', async () => {
    expect((await exec('cms1', ['ip', 'route', 'show', 'default'])).stdout).toBe('');
    expect((await attempt('cms1', 'test', '-e', '/etc/resolv.conf')).exitCode).toBe(1);
  });

  it('closes every port of a server but 22 to its peer', async () => {
    const port = (number: number) => attempt('cms2', 'nc', '-z', '-w', '1', addresses().cms1.address, String(number));
    expect((await port(22)).exitCode).toBe(0);
    expect((await attempt('cms1', 'nc', '-z', '-w', '1', '127.0.0.1', '6801')).exitCode).toBe(0);
    expect((await port(6801)).exitCode).toBe(1);
  });

  it('serves time from the probe without setting a clock', async () => {
    await exec('cms1', ['chronyc', 'add', 'server', addresses().probe.address, 'iburst']);
    await expect
      .poll(async () => (await exec('cms1', ['chronyc', '-c', '-n', 'sources'])).stdout, { timeout: 20_000 })
      .toMatch(/^\^,\*,10\.77\.0\.20,8,/m);
  });

  it('lets the operator become root with a password', async () => {
    const sudo = ['runuser', '-u', 'operator', '--', 'sudo', '--stdin', 'id', '-u'];
    expect((await exec('cms2', sudo, { input: 'lab-operator\n' })).stdout).toBe('0');
    expect((await exec('cms2', sudo, { input: 'wrong\n', reject: false })).exitCode).not.toBe(0);
  });

  describe('its stand-ins', () => {
    const sqlhosts = '/opt/informix/etc/sqlhosts';
    const onconfig = '/opt/informix/etc/onconfig.cms';
    const line = 'cms_ol onsoctcp localhost 6800\n';
    const config = 'DBSERVERNAME cms_ol\n';

    const restart = async (text: { sqlhosts?: string; onconfig?: string }) => {
      await writeFile('cms1', sqlhosts, text.sqlhosts ?? line);
      await writeFile('cms1', onconfig, text.onconfig ?? config);
      const { exitCode } = await attempt('cms1', 'systemctl', 'restart', 'ids');
      // What a program wrote last may still be on its way into the journal.
      await exec('cms1', ['journalctl', '--sync']);
      const journal = await exec('cms1', ['journalctl', '--unit=ids', '--lines=6', '--output=cat']);
      await exec('cms1', ['systemctl', 'reset-failed', 'ids']);
      return { exitCode, journal: journal.stdout };
    };

    it.each([
      ['a line of three columns', { sqlhosts: `${line}x onsoctcp cms1\n` }, 'line 2 has 3 columns'],
      ['a name that stands twice', { sqlhosts: line + line }, 'cms_ol stands there twice'],
      ['a server without a line', { onconfig: 'DBSERVERNAME other\n' }, 'other of onconfig.cms has no line'],
      ['an alias without a line', { onconfig: `${config}DBSERVERALIASES cms_ol,cms_x\n` }, 'cms_x of onconfig.cms has'],
      [
        'an unknown service',
        { sqlhosts: 'cms_ol onsoctcp localhost no_such\n' },
        'service no_such of cms_ol is unknown',
      ],
      ['an unknown host', { sqlhosts: `${line}cms_y onsoctcp nohost 6811\n` }, 'host nohost of cms_y is unknown'],
      ['no server name', { onconfig: '# DBSERVERNAME cms_ol\n' }, 'has no DBSERVERNAME'],
      ['a server on another host', { sqlhosts: 'cms_ol onsoctcp 10.77.0.12 6800\n' }, 'which is not this host'],
    ])('refuse %s', async (_case, text, message) => {
      const { exitCode, journal } = await restart(text);
      expect(exitCode).not.toBe(0);
      expect(journal).toContain(message);
    });

    it('refuse a missing file', async () => {
      await exec('cms1', ['rm', sqlhosts]);
      expect((await attempt('cms1', 'systemctl', 'restart', 'ids')).exitCode).not.toBe(0);
      await exec('cms1', ['install', '-o', 'informix', '-g', 'informix', '-m', '0644', '/dev/null', sqlhosts]);
    });

    it('listen on every port of this host, and leave the other host alone', async () => {
      const lines = [
        'grp group - - e=net_2',
        'net_1 onsoctcp 10.77.0.11 cms_ids g=grp',
        'net_2 onsoctcp 10.77.0.12 6811 g=grp # the peer',
      ];
      await exec('cms1', ['sh', '-c', 'printf "cms_ids 6811/tcp\\n" >>/etc/services']);
      const text = {
        sqlhosts: `${line}${lines.join('\n')}\n`,
        onconfig: `${config}DBSERVERALIASES net_1, net_2 # two\n`,
      };
      const { exitCode } = await restart(text);
      expect(exitCode).toBe(0);
      const sockets = (await exec('cms1', ['ss', '-Hltn'])).stdout;
      expect(sockets).toContain(' 127.0.0.1:6800 ');
      expect(sockets).toContain(' 10.77.0.11:6811 ');
      expect(sockets).not.toContain('10.77.0.12');
    });

    it('start cms only while ids listens', async () => {
      expect((await restart({})).exitCode).toBe(0);
      await exec('cms1', ['systemctl', 'start', 'cms']);
      expect((await exec('cms1', ['ss', '-Hltn'])).stdout).toContain(':6801 ');
      await exec('cms1', ['systemctl', 'stop', 'ids']);
      expect((await attempt('cms1', 'systemctl', 'is-active', 'cms')).stdout).toBe('inactive');
      await exec('cms1', ['systemctl', 'start', 'cms']);
      expect((await attempt('cms1', 'systemctl', 'is-active', 'ids')).stdout).toBe('active');
    });
  });

  it('keeps files over a power loss and reads them while the server is off', async () => {
    const bytes = Buffer.from([0, 255, 10, 13, 128]);
    await writeFile('cms2', '/root/kept', bytes, { mode: 0o640 });
    await exec('cms2', ['sync']);
    const boot = (await exec('cms2', ['cat', '/proc/sys/kernel/random/boot_id'])).stdout;
    const key = await readFile('cms2', '/etc/ssh/ssh_host_ed25519_key.pub');
    await powerOff('cms2');
    await expect(exec('cms2', ['true'])).rejects.toMatchObject({ code: 'lab-server-off' });
    expect(await readFile('cms2', '/root/kept')).toEqual(bytes);
    expect((await powerOn('cms2')).system).toBe('running');
    expect((await exec('cms2', ['stat', '-c', '%a', '/root/kept'])).stdout).toBe('640');
    expect((await exec('cms2', ['cat', '/proc/sys/kernel/random/boot_id'])).stdout).not.toBe(boot);
    expect(await readFile('cms2', '/etc/ssh/ssh_host_ed25519_key.pub')).toEqual(key);
  });

  it('keeps a pulled cable pulled until it is healed', async () => {
    const ping = () => attempt('cms1', 'ping', '-c', '1', '-W', '1', addresses().cms2.address);
    expect((await ping()).exitCode).toBe(0);
    await cut('cms2');
    expect((await ping()).exitCode).not.toBe(0);
    await powerOff('cms2');
    await powerOn('cms2');
    expect((await ping()).exitCode).not.toBe(0);
    await heal('cms2');
    await expect.poll(async () => (await ping()).exitCode, { timeout: 10_000 }).toBe(0);
  });

  it('slows the way to a server down, over a power loss too, and makes it fast again', async () => {
    const roundTrip = async () => {
      const { stdout } = await exec('cms1', ['ping', '-c', '3', '-i', '0.2', addresses().cms2.address]);
      return Number(/= ([\d.]+)\//.exec(stdout)?.[1]);
    };
    await slow('cms2', { delayMs: 60 });
    expect(await roundTrip()).toBeGreaterThanOrEqual(60);
    await powerOff('cms2');
    await powerOn('cms2');
    expect(await roundTrip()).toBeGreaterThanOrEqual(60);
    const { stdout } = await overSsh('cms2', 'seq', '200000');
    expect(stdout.split('\n')).toHaveLength(200_000);
    await slow('cms2');
    expect(await roundTrip()).toBeLessThan(30);
  });

  it('loses all that goes to a server whose line loses everything', async () => {
    await slow('cms2', { lossPercent: 100 });
    expect((await attempt('cms1', 'ping', '-c', '2', '-W', '1', addresses().cms2.address)).exitCode).toBe(1);
    await slow('cms2');
    expect((await attempt('cms1', 'ping', '-c', '2', '-W', '1', addresses().cms2.address)).exitCode).toBe(0);
  });

  it('freezes a server and lets it go on', async () => {
    freeze('cms2');
    const greeting = () => attempt('cms1', 'sh', '-c', 'nc -w 1 10.77.0.12 22 </dev/null');
    expect((await greeting()).stdout).toBe('');
    thaw('cms2');
    expect((await greeting()).stdout).toMatch(/^SSH-/);
  });

  it('copies files and folders in, and a link there does not lead out of the server', async () => {
    const local = mkdtempSync(join(tmpdir(), 'cmsadm-lab-'));
    try {
      writeFileSync(join(local, 'a file'), 'one\n', { mode: 0o750 });
      await copyIn('cms1', local, '/srv/copied');
      await copyIn('cms1', join(local, 'a file'), '/srv/alone');
      const listed = await exec('cms1', ['stat', '-c', '%a %U', '/srv/copied/a file', '/srv/alone']);
      expect(listed.stdout).toBe('750 root\n750 root');
      await exec('cms1', ['ln', '-s', join(local, 'a file'), '/srv/link']);
      await expect(readFile('cms1', '/srv/link')).rejects.toMatchObject({ code: 'lab-command-failed' });
    } finally {
      rmSync(local, { recursive: true });
    }
  });

  it('kills in the server what outlives its time', async () => {
    const { exitCode } = await exec('cms1', ['sleep', '4242'], { timeoutMs: 300, reject: false });
    expect(exitCode).toBe(124);
    expect((await attempt('cms1', 'pgrep', '--exact', 'sleep')).stdout).toBe('');
  });

  it('resets one server to a fresh disk and keeps its keys', async () => {
    await writeFile('cms1', '/root/gone', '');
    const key = await readFile('cms1', '/etc/ssh/ssh_host_ed25519_key.pub');
    expect(await reset('cms1')).toMatchObject([{ name: 'cms1', system: 'running' }]);
    expect((await attempt('cms1', 'test', '-e', '/root/gone')).exitCode).toBe(1);
    expect(await readFile('cms1', '/etc/ssh/ssh_host_ed25519_key.pub')).toEqual(key);
    expect((await overSsh('cms1', 'true')).exitCode).toBe(0);
  });

  it('powers a server off on which a program stands still', async () => {
    const frozen = start('probe', ['sh', '-c', 'echo stands; kill -STOP $$']);
    await expect.poll(() => frozen.said().length, { timeout: 5000 }).toBe(1);
    await powerOff('probe');
    await frozen.ended;
    await powerOn('probe');
  });

  it('leaves a running lab as it is when it is brought up again', async () => {
    await writeFile('cms1', '/root/mine', 'x');
    expect(await up()).toEqual([]);
    await powerOff('probe');
    expect(await up()).toMatchObject([{ name: 'probe' }]);
    expect((await readFile('cms1', '/root/mine')).toString()).toBe('x');
  });

  it('comes up fresh when everything was killed and the record is lost', async () => {
    const state = readState();
    for (const { pid } of state === undefined ? [] : recordedProcesses(state)) process.kill(pid, 'SIGKILL');
    rmSync(join(labFolder, 'state.json'));
    expect(await up()).toHaveLength(3);
    expect((await overSsh('cms2', 'true')).exitCode).toBe(0);
  });

  it('ends what runs without a record, by its control group', async () => {
    await slow('cms1', { delayMs: 5 });
    const state = readState();
    const running = state === undefined ? [] : recordedProcesses(state);
    expect(running.length).toBeGreaterThanOrEqual(6);
    rmSync(join(labFolder, 'state.json'));
    await down();
    expect(running.filter(isAlive)).toEqual([]);
    expect(leftovers()).toEqual(nothing);
  });

  it('keeps root out of cms2 in the variant no-root, and lets the operator in', async () => {
    expect(await up({ variant: 'no-root' })).toHaveLength(3);
    expect((await overSsh('cms2', 'id', '-un')).stdout).toBe('operator');
    const asRoot = sshArgv('cms2', ['true']).map((word) => (word === 'operator' ? 'root' : word));
    const refused = await execa('ssh', ['-o', 'BatchMode=yes', ...asRoot.slice(1)], { reject: false, stdin: 'ignore' });
    expect(refused.exitCode).toBe(255);
    expect(refused.stderr).toContain('Permission denied');
    expect((await overSsh('cms1', 'id', '-un')).stdout).toBe('root');
  });

  it('leaves nothing behind, however often it is taken down', async () => {
    await down();
    expect(leftovers()).toEqual(nothing);
    await down();
    expect(leftovers()).toEqual(nothing);
    expect(existsSync(baseFolder())).toBe(true);
  });
});
