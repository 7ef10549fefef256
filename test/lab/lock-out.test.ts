import { afterEach, beforeAll, describe, expect, it } from 'vitest';
import { available, exec, writeFile } from '../../lab/lab.ts';
import { installProduct } from '../../lab/product.ts';
import { passwords } from '../../lab/servers.ts';
import {
  argsOf,
  attempt,
  cms1,
  cms2,
  cmsadm,
  type Flags,
  pair,
  rightAnswers,
  type Server,
  sh,
  start,
  told,
  useFreshLab,
} from './kit.ts';
import { type Logins, logins, pairKeyEnters, prepareLogins } from './logins.ts';
import { changedFiles, differences, filesOf, type Standing } from './standing.ts';

const { ok, why } = available();

/** What login asks for: the places where a lock-out would show. */
const places = ['/etc/ssh', '/root/.ssh', '/etc/nftables.conf', '/etc/hosts.deny', '/etc/systemd/system'];
/** Saved once; each attempt begins with it and ends in it. */
const saved = ['/etc/ssh', '/etc/nftables.conf', '/etc/hosts.deny', '/etc/systemd/system', '/root/.ssh'];

/** Lines before all others of sshd_config, and behind them. */
const first = (...lines: string[]) =>
  `printf '%s\\n' ${lines.map((line) => `'${line}'`).join(' ')} | cat - /etc/ssh/sshd_config >/root/new && cat /root/new >/etc/ssh/sshd_config`;
const last = (...lines: string[]) =>
  `printf '%s\\n' ${lines.map((line) => `'${line}'`).join(' ')} >>/etc/ssh/sshd_config`;
const without = (pattern: string) => `sed -i '/${pattern}/d' /etc/ssh/sshd_config`;
const noRoot = [without('^PermitRootLogin'), last('PermitRootLogin no')].join('; ');

const asOperator: Flags = { 'peer-user': 'operator', 'peer-password-file': '/root/operator-password' };

type Attempt = {
  readonly name: string;
  /** Shell scripts that bring the servers to where the attempt begins. */
  readonly cms1?: string;
  readonly cms2?: string;
  readonly flags?: Flags;
  readonly port?: Readonly<Partial<Record<Server, number>>>;
  /** Who gets in besides, while the pair is linked. */
  readonly widens?: readonly string[];
};

/** Root's key or an ordinary user from the peer would be shut out; set up makes it work, disable takes it back. */
const works: readonly Attempt[] = [
  {
    name: 'AllowUsers names ordinary users only',
    cms1: first('AllowUsers operator'),
    cms2: first('AllowUsers operator@10.77.0.11 operator@10.77.0.20'),
    flags: asOperator,
  },
  {
    name: 'DenyUsers names root, AllowGroups leaves its group out',
    cms1: first('AllowGroups sudo'),
    cms2: first('DenyUsers root bin'),
    flags: asOperator,
  },
  {
    name: 'an earlier Match User root, and a Match LocalPort, refuse root',
    cms1: last('Match LocalPort 22', 'PermitRootLogin no'),
    cms2: first('Match User root', 'PermitRootLogin no', 'PubkeyAuthentication no', 'Match all'),
    flags: asOperator,
  },
  {
    name: 'AuthenticationMethods wants two, AuthorizedKeysFile lies elsewhere',
    cms1: [
      'mkdir -m 755 /etc/ssh/keys',
      'cp /root/.ssh/authorized_keys /etc/ssh/keys/root',
      'cp /root/.ssh/authorized_keys /etc/ssh/keys/operator',
      'chmod 644 /etc/ssh/keys/*',
      first('AuthorizedKeysFile /etc/ssh/keys/%u'),
    ].join('; '),
    cms2: first('AuthenticationMethods publickey,password'),
    flags: { 'peer-key': '/root/lab-key' },
    // AuthenticationMethods knows no keys: what lets the pair's key in alone lets others of root in from there.
    widens: ['root@cms2 from cms1 by key'],
  },
  {
    name: 'Include is missing, or stands behind a Match',
    cms1: [without('^Include'), noRoot].join('; '),
    cms2: [
      without('^Include'),
      noRoot,
      last('Match User operator', 'X11Forwarding no', 'Match all', 'Include /etc/ssh/sshd_config.d/*.conf'),
    ].join('; '),
    flags: asOperator,
  },
  {
    name: 'sshd listens on one address and another port only, and refuses root there',
    ...Object.fromEntries(
      pair.map((server) => [
        server,
        [
          `sed -i 's/tcp dport 22 accept/tcp dport 2222 accept/' /etc/nftables.conf; nft -f /etc/nftables.conf`,
          first(`ListenAddress ${{ cms1, cms2 }[server].address}:2222`, 'ListenAddress 127.0.0.1:22'),
          last('Match LocalPort 2222', 'PermitRootLogin no'),
        ].join('; '),
      ]),
    ),
    flags: { ...asOperator, 'ssh-port': '2222' },
    port: { cms1: 2222, cms2: 2222 },
  },
  {
    name: 'sshd is started by its socket, once for all connections and once for each',
    cms1: [
      noRoot,
      "printf '[Socket]\\nAccept=yes\\n' | install -D -m 644 /dev/stdin /etc/systemd/system/ssh.socket.d/accept.conf",
      "printf '[Service]\\nExecStart=-/usr/sbin/sshd -i\\nStandardInput=socket\\nRuntimeDirectory=sshd\\nRuntimeDirectoryPreserve=yes\\n' >/etc/systemd/system/ssh@.service",
      'systemctl daemon-reload; systemctl --quiet disable --now ssh.service; systemctl --quiet enable --now ssh.socket',
    ].join('; '),
    cms2: [noRoot, 'systemctl --quiet disable --now ssh.service; systemctl --quiet enable --now ssh.socket'].join('; '),
    flags: asOperator,
  },
];

type Refusal = Attempt & { readonly exitCode: 3 | 4; readonly says: RegExp };

/** Nothing can or may be done about these: set up says so, and both servers are as before. */
const refused: readonly Refusal[] = [
  {
    name: 'sshd does not listen on the address of the pair',
    cms1: first('ListenAddress 127.0.0.1'),
    exitCode: 3,
    says: /sshd does not listen on 10\.77\.0\.11/,
  },
  {
    name: 'an earlier drop-in decides about root',
    cms2: "printf 'Match User root\\nPermitRootLogin no\\n' >/etc/ssh/sshd_config.d/00-00-a.conf",
    flags: asOperator,
    exitCode: 4,
    says: /root from 10\.77\.0\.11 still may not come in/,
  },
  {
    name: 'a Match denies root from the peer, which no block can undo',
    cms2: last('Match Address 10.77.0.0/24', 'DenyUsers root'),
    flags: asOperator,
    exitCode: 4,
    says: /root from 10\.77\.0\.11 still may not come in/,
  },
  {
    name: 'authorized_keys may be written by its group',
    cms2: 'chmod 664 /root/.ssh/authorized_keys',
    exitCode: 3,
    says: /\/root\/\.ssh\/authorized_keys may be written by others than root/,
  },
  {
    name: 'the folder of the keys may be written by everybody',
    cms1: 'chmod 777 /root/.ssh',
    exitCode: 3,
    says: /\/root\/\.ssh may be written by others than root/,
  },
  {
    name: 'iptables drops the peer’s ports beside the file of nftables',
    cms2: 'iptables -A INPUT -p tcp --dport 22 -j ACCEPT; iptables -A INPUT -i lo -j ACCEPT; iptables -A INPUT -m state --state ESTABLISHED -j ACCEPT; iptables -P INPUT DROP',
    exitCode: 3,
    says: /10\.77|ip filter/,
  },
  {
    name: 'a table of nftables that is in no file drops the peer',
    cms1: "nft 'add table inet guard; add chain inet guard in { type filter hook input priority 10; policy drop; }; add rule inet guard in tcp dport 22 accept; add rule inet guard in ct state established accept; add rule inet guard in iif lo accept'",
    exitCode: 3,
    says: /inet guard/,
  },
  {
    name: 'only the kernel’s rules let SSH in, which a reload of the file would drop',
    cms2: "sed -i '/tcp dport 22/d' /etc/nftables.conf",
    exitCode: 3,
    says: /tcp dport 22 accept/,
  },
  {
    name: 'tcpd refuses the peer',
    cms1: "echo 'sshd: 10.77.0.12' >>/etc/hosts.deny",
    exitCode: 4,
    says: /10\.77\.0\.11/,
  },
  {
    name: 'the reload of sshd fails',
    cms2: [
      noRoot,
      "printf '[Service]\\nExecReload=\\nExecReload=/bin/false\\n' | install -D -m 644 /dev/stdin /etc/systemd/system/ssh.service.d/test.conf",
      'systemctl daemon-reload',
    ].join('; '),
    flags: asOperator,
    exitCode: 4,
    says: /try-reload-or-restart ssh\.service failed/,
  },
  {
    name: 'sshd dies on reload',
    cms2: [
      noRoot,
      "printf '[Service]\\nRestart=no\\nExecReload=\\nExecReload=/bin/kill -KILL $MAINPID\\n' | install -D -m 644 /dev/stdin /etc/systemd/system/ssh.service.d/test.conf",
      'systemctl daemon-reload',
    ].join('; '),
    flags: asOperator,
    exitCode: 4,
    says: /ssh\.service|sshd/,
  },
];

describe.skipIf(!ok)(`lock-out attempts${ok ? '' : ` (skipped: ${why})`}`, () => {
  useFreshLab({ confirmSeconds: 10 });
  let flags: Flags;

  beforeAll(async () => {
    // Both have the program: what is carried at a first contact is shown elsewhere.
    await installProduct('cms2', { confirmSeconds: 10 });
    await writeFile('cms1', '/root/operator-password', `${passwords.operator}\n`, { mode: 0o600 });
    await prepareLogins();
    flags = await rightAnswers();
    for (const server of pair)
      await sh(
        server,
        `umask 022; mkdir -m 755 /root/saved; touch /etc/hosts.deny; for f in ${saved.join(' ')}; do cp -a --parents $f /root/saved; done`,
      );
  });
  afterEach(async ({ task }) => {
    // Who passed has left nothing open.
    if (task.result?.state !== 'pass') for (const server of pair) await settle(server);
    await Promise.all(pair.map(putRight));
  });

  /** Whatever an attempt left: the server as it was at first. */
  const settle = async (server: Server) => {
    await cmsadm(server, 'recover');
    const paired = (await attempt(server, 'test', '-e', '/var/lib/cmsadm/link.json')).exitCode === 0;
    if (paired)
      await cmsadm(server, 'config_HA', 'disable', '--yes', `--peer=${server === 'cms1' ? cms2.fqdn : cms1.fqdn}`);
  };
  const putRight = (server: Server) =>
    sh(
      server,
      `rm -rf ${saved.join(' ')}; cp -a /root/saved/etc /root/saved/root /; systemctl daemon-reload; iptables -P INPUT ACCEPT; nft -f /etc/nftables.conf
      systemctl --quiet disable --now ssh.socket; systemctl --quiet enable ssh.service; systemctl reset-failed; systemctl restart ssh.service ids cms`,
    );
  const prepare = (one: Attempt) =>
    Promise.all(
      pair.map(async (server) => {
        if (one[server] === undefined) return;
        const restart = 'if systemctl -q is-active ssh.service; then sshd -t; systemctl restart ssh.service; fi';
        await sh(server, `set -e; ${one[server]}; ${restart}`);
      }),
    );
  const setUp = (more: Flags = {}) => cmsadm('cms1', 'config_HA', 'setup', ...argsOf({ ...flags, ...more }), '--yes');
  const disable = () => cmsadm('cms1', 'config_HA', 'disable', '--yes', `--peer=${cms2.fqdn}`);

  const standing = async (): Promise<Record<Server, Standing>> => {
    const [one, two] = await Promise.all([filesOf('cms1', places), filesOf('cms2', places)]);
    return { cms1: one, cms2: two };
  };
  const expectNothingLeft = async () => {
    for (const server of pair) {
      const left = `systemctl list-timers --all --no-legend "cmsadm-way-back*"
        find /etc /root /opt/informix /cms /var/lib/cmsadm -xdev -name '*.staged'
        ls -d /run/cmsadm-first.* /var/tmp/cmsadm-first.* /run/cmsadm/lock 2>/dev/null; true`;
      await expect.poll(() => sh(server, left), { timeout: 15_000, message: server }).toBe('');
    }
  };
  const expectAsBefore = async (before: { logins: Logins; standing: Record<Server, Standing> }, one: Attempt) => {
    expect(await logins(one.port)).toEqual(before.logins);
    const now = await standing();
    const backups = (line: string) => /\.zdt_\d+_\d+: absent/.test(line);
    for (const server of pair)
      expect(
        differences(before.standing[server], now[server]).filter((line) => !backups(line)),
        server,
      ).toEqual([]);
    await expectNothingLeft();
  };

  it.each(works)('set up and disable work and change no login where $name', async (one) => {
    await prepare(one);
    const before = { logins: await logins(one.port), standing: await standing() };
    const done = await setUp(one.flags);
    expect(done.exitCode, told(done)).toBe(0);
    for (const server of pair) expect(await pairKeyEnters(server, one.port?.[server]), server).toBe(true);
    const widened = Object.fromEntries((one.widens ?? []).map((name) => [name, 'in']));
    expect(await logins(one.port)).toEqual({ ...before.logins, ...widened });
    await expectNothingLeft();
    const undone = await disable();
    expect(undone.exitCode, told(undone)).toBe(0);
    await expectAsBefore(before, one);
  });

  it.each(refused)('set up refuses and changes no login where $name', async (one) => {
    await prepare(one);
    const before = { logins: await logins(one.port), standing: await standing() };
    const result = await setUp(one.flags);
    expect(result.exitCode, told(result)).toBe(one.exitCode);
    expect(told(result).replaceAll(/\s+/g, ' ')).toMatch(one.says);
    await expectAsBefore(before, one);
  });

  /** The database stand-in takes this long to start. */
  const slowDatabase = (seconds: number) =>
    `printf '[Service]\\nExecStartPre=/bin/sleep ${seconds}\\n' | install -D -m 644 /dev/stdin /etc/systemd/system/ids.service.d/slow.conf; systemctl daemon-reload`;

  it('puts both back when the session in which the operator runs it is cut in the middle', async () => {
    const before = { logins: await logins(), files: await filesOf('cms1', changedFiles) };
    await sh('cms1', slowDatabase(3));
    const command = ['cmsadm', 'config_HA', 'setup', ...argsOf(flags), '--yes'].join(' ');
    const ssh = 'ssh -F none -tt -i /root/lab-key -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null';
    const running = start('probe', [
      'sh',
      '-c',
      `echo $$ >/root/ssh.pid; exec ${ssh} root@${cms1.address} "${command}"`,
    ]);
    await running.says(`Changing ${cms1.fqdn}`);
    await exec('probe', ['sh', '-c', 'kill -KILL "$(cat /root/ssh.pid)"']);
    await running.ended();
    await expectNothingLeft();
    expect(differences(before.files, await filesOf('cms1', changedFiles))).toEqual([]);
    expect(await logins()).toEqual(before.logins);
    for (const server of pair) expect((await cmsadm(server, 'recover')).stdout, server).toMatch(/othing/);
  });

  it('waits for a service that takes longer to start than the time to confirm', async () => {
    const before = await logins();
    await sh('cms1', slowDatabase(12));
    const done = await setUp();
    expect(done.exitCode, told(done)).toBe(0);
    expect(await logins()).toEqual(before);
    await expectNothingLeft();
  });
});
