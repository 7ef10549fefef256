import { describe, expect, it } from 'vitest';
import { available, cut, exec, heal, powerOff, powerOn, readFile, writeFile } from '../../lab/lab.ts';
import { labPackages } from '../../lab/product.ts';
import { run } from '../../lab/run.ts';
import { sshArgv } from '../../lab/ssh.ts';
import {
  attempt,
  cms1,
  cms2,
  cmsadm,
  configHa,
  fingerprintOf,
  guideScript,
  objectOf,
  pair,
  probe,
  type Server,
  setUp,
  sh,
  stopAtFirstFailure,
  told,
  useFreshLab,
} from './kit.ts';
import { changedFiles, differences, expectUntouched, filesOf, servicesOf, standingOfBoth } from './standing.ts';

const { ok, why } = available();
const data = '/cms/admin';
/** Options of ssh that offer the pair's key and nothing else. */
const pairKey = ['-i', '/root/.ssh/id_cmsadm', '-o', 'IdentitiesOnly=yes', '-o', 'BatchMode=yes'];

/** Waits until a server has a file with this text; admin-sync has two seconds. */
const arrives = async (server: Server, path: string, text: string, timeout = 2000) => {
  await expect
    .poll(async () => (await attempt(server, 'cat', path)).stdout, {
      timeout,
      interval: 50,
      message: `${path} on ${server}`,
    })
    .toBe(text);
};

/** What show tells of both servers: role and epoch of each. */
const rolesOf = async (server: Server): Promise<unknown> => {
  const shown = objectOf(await cmsadm(server, 'config_HA', 'show', '--json'));
  return shown;
};
const views = (one: Server, other: Server, epoch: number) => {
  const fqdn = { cms1: cms1.fqdn, cms2: cms2.fqdn };
  return {
    views: expect.arrayContaining([
      expect.objectContaining({
        seenBy: fqdn[one],
        reachable: true,
        role: 'primary',
        epoch,
        primary: fqdn[one],
        secondary: fqdn[other],
      }),
      expect.objectContaining({
        seenBy: fqdn[other],
        reachable: true,
        role: 'secondary',
        epoch,
        primary: fqdn[one],
        secondary: fqdn[other],
      }),
    ]),
  };
};

/** The saved pair without what every role change makes anew. */
const configuration = async (server: Server) => {
  const files = new Map(
    await filesOf(server, [...changedFiles, '/root/.ssh', '/etc/ssh', '/var/lib/cmsadm/link.json']),
  );
  files.delete('/var/lib/cmsadm/pair.json');
  const pairJson = (await readFile(server, '/var/lib/cmsadm/pair.json')).toString();
  return files.set('the pair', pairJson.replace(/"epoch": \d+/, '"epoch": …'));
};

describe.skipIf(!ok)(`the operator's journeys${ok ? '' : ` (skipped: ${why})`}`, () => {
  useFreshLab();
  stopAtFirstFailure();
  let atFirst: Awaited<ReturnType<typeof standingOfBoth>>;
  let tag = '';

  describe('by script, with flags and an answers file', () => {
    it('are told in one error what is missing', async () => {
      atFirst = await standingOfBoth();
      const result = await cmsadm('cms1', 'config_HA', 'setup', '--yes', '--json');
      expect(result.exitCode, told(result)).toBe(64);
      const names = [
        'secondary-ip',
        'secondary-fqdn',
        'licence-package',
        'ha-package',
        'peer-fingerprint',
        'peer-password-file',
      ];
      for (const name of names) expect(result.stdout).toContain(`--${name}`);
      await expectUntouched(atFirst);
    });

    it('see the plan without touching anything', async () => {
      const answers = [
        `ntp-server: ${probe.address}`,
        `secondary-ip: ${cms2.address}`,
        `secondary-fqdn: ${cms2.fqdn}`,
        `licence-package: ${labPackages.licence}`,
        `ha-package: ${labPackages.haPackage}`,
        'peer-user: root',
        'peer-password-file: /root/peer-password',
        `peer-fingerprint: ${await fingerprintOf('cms2')}`,
      ];
      await writeFile('cms1', '/root/pair.yaml', `${answers.join('\n')}\n`, { mode: 0o600 });
      await writeFile('cms1', '/root/make-pair', guideScript('config_HA setup'), { mode: 0o700 });
      atFirst = await standingOfBoth();
      const result = await cmsadm('cms1', 'config_HA', 'setup', '--answers', '/root/pair.yaml', '--dry-run', '--json');
      expect(result.exitCode, told(result)).toBe(2);
      expect(objectOf(result)).toMatchObject({
        outcome: 'pending',
        review: { servers: [{ becomes: 'primary' }, { becomes: 'secondary' }] },
      });
      await expectUntouched(atFirst);
    });

    it('set the pair up with the script of the guide', async () => {
      const result = await exec('cms1', ['/root/make-pair'], { reject: false });
      expect(result.exitCode, `${told(result)}\n${await sh('cms1', 'cat /root/pair.log')}`).toBe(0);
      tag = /restore --tag (zdt_\d+_\d+) --yes/.exec(result.stdout)?.[1] ?? '';
      expect(tag, result.stdout).not.toBe('');
    });

    it('find nothing to do the second time, and restart nothing', async () => {
      const before = await standingOfBoth([...changedFiles, '/root/.ssh', '/etc', '/opt']);
      const result = await cmsadm('cms1', 'config_HA', 'setup', '--answers', '/root/pair.yaml', '--yes', '--json');
      expect(result.exitCode, told(result)).toBe(0);
      expect(objectOf(result)).toMatchObject({ outcome: 'nothing to do' });
      expect((await exec('cms1', ['/root/make-pair'])).stdout).toBe('The pair is set up already.');
      await expectUntouched(before, [...changedFiles, '/root/.ssh', '/etc', '/opt']);
    });
  });

  describe('leave a pair', () => {
    it('whose hosts files name both servers in order, each once', async () => {
      for (const server of pair) {
        const hosts = await sh(server, 'getent ahostsv4 cms1; grep -v "^#" /etc/hosts');
        expect(hosts, server).toMatch(
          /^10\.77\.0\.11\s+cms1\.lab\.example\s+cms1\b.*\n10\.77\.0\.12\s+cms2\.lab\.example\s+cms2\b/m,
        );
        expect(hosts.match(/^10\.77\.0\.1[12]\s/gm), server).toHaveLength(5);
        expect(hosts, server).not.toContain('127.0.1.1');
      }
    });

    it('that takes its time from the NTP server, which stands once in the file', async () => {
      for (const server of pair) {
        expect(await sh(server, 'grep -c "10\\.77\\.0\\.20" /etc/chrony/chrony.conf'), server).toBe('1');
        expect(await sh(server, 'chronyc -c -n sources'), server).toContain(',10.77.0.20,');
      }
    });

    it('whose database is reached from the other server, and from nowhere else', async () => {
      const port = (from: Server | 'probe', to: string) =>
        exec(from, ['nc', '-z', '-w', '2', to, '6811'], { reject: false });
      expect((await port('cms1', cms2.address)).exitCode).toBe(0);
      expect((await port('cms2', cms1.address)).exitCode).toBe(0);
      expect((await port('probe', cms1.address)).exitCode).not.toBe(0);
    });

    it.each([
      ['a command', ['root@10.77.0.12', 'id'], /verb-unknown/],
      ['a terminal', ['-tt', 'root@10.77.0.12'], /PTY allocation request failed/],
      ['a forwarded port', ['-W', '127.0.0.1:22', 'root@10.77.0.12'], /open failed|prohibited/],
      [
        'a port on the other server',
        ['-R', '7023:127.0.0.1:22', '-o', 'ExitOnForwardFailure=yes', 'root@10.77.0.12'],
        /remote port forwarding failed/,
      ],
      ['the file transfer service', ['-s', 'root@10.77.0.12', 'sftp'], /verb-unknown/],
    ])('whose key opens nothing but the fixed verbs: not %s', async (_what, args, refusal) => {
      const input = '{"id":1,"verb":"exec","args":{"command":"id"}}\n{"id":2,"verb":"constructor"}\n';
      const result = await exec('cms1', ['ssh', ...pairKey, ...args], { input, reject: false, timeoutMs: 20_000 });
      expect(told(result)).toMatch(refusal);
      expect(result.stdout).not.toMatch(/uid=0|^SSH-|"result"/m);
    });

    it('whose key carries no files with scp or sftp', async () => {
      for (const old of [[], ['-O']]) {
        const result = await exec(
          'cms1',
          ['scp', ...old, ...pairKey, '/etc/hostname', 'root@10.77.0.12:/root/carried'],
          {
            reject: false,
            timeoutMs: 20_000,
          },
        );
        expect(result.exitCode, told(result)).not.toBe(0);
      }
      expect((await attempt('cms2', 'test', '-e', '/root/carried')).exitCode).toBe(1);
    });

    it('where root’s own keys work as before', async () => {
      for (const server of pair) {
        const [file, ...args] = sshArgv(server, ['id', '-un']);
        expect((await run([file, ...args])).stdout).toBe('root');
      }
      const own = (await readFile('cms1', '/root/.ssh/id_ed25519.pub')).toString();
      await exec(
        'cms2',
        ['sh', '-c', 'cp -p /root/.ssh/authorized_keys /root/kept-keys; cat >>/root/.ssh/authorized_keys'],
        { input: own },
      );
      const plain = ['ssh', '-o', 'BatchMode=yes'];
      expect((await exec('cms1', [...plain, 'root@10.77.0.12', 'id', '-un'])).stdout).toBe('root');
      const forwarded = await exec('cms1', [...plain, '-W', '127.0.0.1:22', 'root@10.77.0.12'], { reject: false });
      expect(forwarded.stdout, told(forwarded)).toMatch(/^SSH-2/);
      await sh('cms2', 'cat /root/kept-keys >/root/.ssh/authorized_keys; rm /root/kept-keys');
    });

    it('that carries a change on cms1 to cms2 within two seconds', async () => {
      await arrives('cms2', `${data}/agents`, (await readFile('cms1', `${data}/agents`)).toString().trimEnd(), 20_000);
      await writeFile('cms1', `${data}/agents`, 'agent 1\n');
      await arrives('cms2', `${data}/agents`, 'agent 1');
      await sh('cms1', `mkdir -p ${data}/deep/er && echo x >'${data}/deep/er/a name'`);
      await arrives('cms2', `${data}/deep/er/a name`, 'x');
      await sh('cms1', `rm -r ${data}/deep`);
      await expect
        .poll(async () => (await attempt('cms2', 'test', '-e', `${data}/deep`)).exitCode, { timeout: 2000 })
        .toBe(1);
    });
  });

  describe('reverse before maintenance', () => {
    let before: Record<Server, ReadonlyMap<string, string>>;

    it('reverses: the roles change on both, and no service restarts', async () => {
      before = { cms1: await configuration('cms1'), cms2: await configuration('cms2') };
      const services = [await servicesOf('cms1'), await servicesOf('cms2')];
      expect(await configHa('cms1', ['reverse'])).toMatchObject({ outcome: 'done', epoch: 2 });
      expect(await rolesOf('cms1')).toMatchObject(views('cms2', 'cms1', 2));
      expect([await servicesOf('cms1'), await servicesOf('cms2')]).toEqual(services);
    });

    it('carries changes the other way round', async () => {
      await expect
        .poll(() => sh('cms2', 'cat /run/cmsadm/agent.json'), { timeout: 15_000 })
        .toMatch(/"role":\s*"primary".*in step/s);
      await writeFile('cms2', `${data}/splits`, 'split 1\n');
      await arrives('cms1', `${data}/splits`, 'split 1');
    });

    it('refuses a second reversal on the secondary, and names the primary', async () => {
      const refused = await configHa('cms1', ['reverse'], 3);
      expect(refused).toMatchObject({ error: { code: 'not-primary', remedy: expect.stringContaining(cms2.fqdn) } });
    });

    it('gives the old primary, back from maintenance, what changed meanwhile', async () => {
      await powerOff('cms1');
      await writeFile('cms2', `${data}/vdns`, 'vdn 1\n');
      const refused = await configHa('cms2', ['reverse'], 3);
      expect(refused).toMatchObject({ error: { code: 'peer-away', server: cms1.fqdn } });
      expect((await powerOn('cms1')).system).toBe('running');
      await arrives('cms1', `${data}/vdns`, 'vdn 1', 30_000);
      expect(await rolesOf('cms2')).toMatchObject(views('cms2', 'cms1', 2));
    });

    it('reverses again: the same configuration but for the epoch', async () => {
      expect(await configHa('cms2', ['reverse'])).toMatchObject({ outcome: 'done', epoch: 3 });
      expect(await rolesOf('cms1')).toMatchObject(views('cms1', 'cms2', 3));
      for (const server of pair) expect(differences(before[server], await configuration(server)), server).toEqual([]);
    });
  });

  describe('activate the secondary when the primary is dead', () => {
    it('refuses while the primary answers', async () => {
      const args = ['activate', `--peer=${cms1.fqdn}`, '--reason=a test'];
      expect(await configHa('cms2', args, 3)).toMatchObject({ error: { code: 'primary-answers' } });
    });

    it('opens the administration there under a new epoch, for the right name only', async () => {
      await expect
        .poll(() => sh('cms1', 'cat /run/cmsadm/agent.json'), { timeout: 15_000 })
        .toMatch(/"role":\s*"primary".*in step/s);
      await cut('cms2');
      await writeFile('cms1', `${data}/only-on-cms1`, 'lost\n');
      await writeFile('cms1', `${data}/agents`, 'agent of cms1\n');
      await exec('cms1', ['sync']);
      await powerOff('cms1');
      await heal('cms2');
      const wrong = ['activate', '--peer=cms3.lab.example', '--reason=a test'];
      expect(await configHa('cms2', wrong, 3)).toMatchObject({ error: { code: 'answers-refused' } });
      const args = ['activate', `--peer=${cms1.fqdn}`, '--reason=power failure in room 2'];
      expect(await configHa('cms2', args)).toMatchObject({ outcome: 'done', epoch: 4 });
      await writeFile('cms2', `${data}/agents`, 'agent of cms2\n');
      await writeFile('cms2', `${data}/only-on-cms2`, 'new\n');
    });

    it('makes the old primary the secondary when it comes back, which names what differs and waits for a decision', async () => {
      await powerOn('cms1');
      const agent = (server: Server): Promise<string> => sh(server, 'cat /run/cmsadm/agent.json');
      for (const server of pair)
        await expect.poll(() => agent(server), { timeout: 40_000 }).toMatch(/"state":\s*"undecided"/);
      expect((await readFile('cms1', `${data}/agents`)).toString()).toBe('agent of cms1\n');
      const kept = await cmsadm('cms2', 'sync', 'keep', 'cms2', '--yes');
      expect(kept.exitCode, told(kept)).toBe(0);
      await arrives('cms1', `${data}/agents`, 'agent of cms2', 40_000);
      await arrives('cms1', `${data}/only-on-cms2`, 'new', 5000);
      expect((await readFile('cms2', `${data}/agents`)).toString()).toBe('agent of cms2\n');
      expect((await attempt('cms2', 'test', '-e', `${data}/only-on-cms1`)).exitCode).toBe(1);
      const shown = await rolesOf('cms1');
      expect(shown).toMatchObject(views('cms2', 'cms1', 4));
      const text = JSON.stringify(shown);
      expect(text).toMatch(/only here: only-on-cms1/);
      expect(text).toMatch(/different: agents/);
      expect(text).toMatch(/only there: only-on-cms2/);
      // What was overwritten is kept.
      expect(await sh('cms1', 'grep -rl "agent of cms1" /var/lib/cmsadm/kept')).not.toBe('');
    });

    it('reverses back, and recover clears the alarms that were seen', async () => {
      expect(await configHa('cms2', ['reverse'])).toMatchObject({ outcome: 'done', epoch: 5 });
      for (const server of pair) {
        const result = await cmsadm(server, 'recover');
        expect(result.exitCode, told(result)).toBe(0);
      }
      expect(JSON.stringify(await rolesOf('cms1'))).not.toContain('only-on-cms1');
    });
  });

  describe('go back to where they began', () => {
    it('restores the tag of the set up: bytes, modes and owners as before, on both', async () => {
      expect(await configHa('cms1', ['restore', `--tag=${tag}`])).toMatchObject({ outcome: 'done', restored: tag });
      for (const server of pair) {
        const before = new Map([...atFirst[server]].filter(([path]) => changedFiles.includes(path)));
        expect(differences(before, await filesOf(server, changedFiles)), server).toEqual([]);
      }
    });

    it('sets the pair up again over the link', async () => {
      await setUp({
        'peer-password-file': undefined,
        'peer-fingerprint': undefined,
        'peer-user': undefined,
        'ntp-server': probe.address,
      });
      expect(await rolesOf('cms1')).toMatchObject(views('cms1', 'cms2', 7));
    });

    it('disables HA for the right name only, and leaves nothing of ours', async () => {
      expect(await configHa('cms1', ['disable', '--peer=cms3.lab.example'], 3)).toMatchObject({
        error: { code: 'answers-refused' },
      });
      expect(await configHa('cms1', ['disable', `--peer=${cms2.fqdn}`])).toMatchObject({ outcome: 'done' });
      // The run on cms2 ends by taking the program away.
      await expect
        .poll(async () => (await attempt('cms2', 'test', '-e', '/opt/cmsadm')).exitCode, { timeout: 10_000 })
        .toBe(1);
      const after = await standingOfBoth();
      const isOurs = (path: string) =>
        /\.zdt_\d+_\d+$/.test(path) ||
        /^\/(var\/lib\/cmsadm|etc\/cmsadm(\/profiles)?$|cms\/admin|root\/(pair|make-pair))/.test(path);
      for (const server of pair) {
        const files = (all: ReadonlyMap<string, string>) =>
          new Map([...all].filter(([path]) => path.startsWith('/') && !isOurs(path)));
        expect(differences(files(atFirst[server]), files(after[server])), server).toEqual([]);
      }
      expect([...after.cms2.keys()].some((path) => /^\/etc\/hosts\.zdt_/.test(path))).toBe(true);
    });

    const ours = (server: Server) => sh(server, 'find / -xdev -name "*cmsadm*" ! -name "*.zdt_*" | sort');

    it('leaves no program, unit, timer, rule or process of ours on the other server', async () => {
      // Beside the backups: the state with the epoch, and the log of what was run there.
      expect((await ours('cms2')).split('\n')).toEqual(['/etc/cmsadm', '/var/lib/cmsadm', '/var/log/cmsadm']);
      expect(await sh('cms2', 'find /etc/cmsadm -type f ! -name "*.zdt_*"')).toBe('');
      for (const server of pair) {
        expect(await sh(server, 'systemctl list-units --all --plain --no-legend "cmsadm*"'), server).toBe('');
        expect(await sh(server, 'systemctl list-unit-files --no-legend "cmsadm*" || true'), server).toBe('');
        expect(await sh(server, 'nft list ruleset'), server).not.toMatch(/cmsadm|6811|6812/);
        expect(await sh(server, 'ps -eo args= | grep "[c]msadm" || true'), server).toBe('');
      }
    });

    it('removes the program from the first server', async () => {
      await exec('cms1', ['sh', '/opt/cmsadm/current/templates/install', '--remove']);
      expect((await ours('cms1')).split('\n')).toEqual(['/etc/cmsadm', '/var/lib/cmsadm', '/var/log/cmsadm']);
    });
  });
});
