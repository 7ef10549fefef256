import { generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterEach, describe, expect, it } from 'vitest';
import { available, copyIn, readFile, writeFile } from '../../lab/lab.ts';
import { haPackageFile } from '../../lab/product.ts';
import { buildLicence } from '../../src/licence/build-licence.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { rawZip } from '../packages/zip-bytes.ts';
import {
  argsOf,
  attempt,
  cms1,
  cms2,
  cmsadm,
  type Flags,
  objectOf,
  rightAnswers,
  sh,
  told,
  useFreshLab,
} from './kit.ts';
import { expectUntouched, standingOfBoth } from './standing.ts';
import { openTerminal } from './terminal.ts';

const { ok, why } = available();
const folder = tempFolder();
const other = '/root/other.zip';
const testKey = (): string => readFileSync(new URL('../../fixtures/keys/test-signing.pem', import.meta.url), 'utf8');
const strangersKey = (): string =>
  generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();

/** Puts bytes to /root/other.zip of cms1. */
const otherZip = (bytes: Buffer) => writeFile('cms1', other, bytes, { mode: 0o600 });

async function otherLicence(change: { expires?: string; feature?: string; key?: string }): Promise<void> {
  const out = join(folder, 'licence.zip');
  await buildLicence({
    licence: {
      serial: 'LAB-2',
      holder: 'Lab',
      product: 'cms',
      issued: '2020-01-01',
      expires: change.expires ?? 'never',
      features: { [change.feature ?? 'OT_CONN']: { name: 'a feature', count: 1 } },
    },
    privateKeyPem: change.key ?? testKey(),
    out,
  });
  await copyIn('cms1', out, other);
}

/** The HA package with its first thousands of bytes only. */
const truncated = () => {
  const out = join(folder, 'truncated.zip');
  writeFileSync(out, readFileSync(haPackageFile()).subarray(0, 5_000_000));
  return copyIn('cms1', out, other);
};

type Case = {
  readonly name: string;
  readonly prepare?: () => Promise<unknown>;
  /** Takes away again what was prepared. */
  readonly undo?: () => Promise<unknown>;
  readonly flags?: Flags;
  readonly exitCode?: number;
  /** What the error says, in its message, details, server, file or remedy. */
  readonly says: readonly string[];
};

const wrong = (flag: string, value: string, ...says: string[]): Case => ({
  name: `${flag} ${JSON.stringify(value)}`,
  flags: { [flag]: value },
  says: [`--${flag}`, ...says],
});
const licence = (name: string, change: Parameters<typeof otherLicence>[0], says: string): Case => ({
  name: `a licence ${name}`,
  prepare: () => otherLicence(change),
  flags: { 'licence-package': other },
  says: ['--licence-package', says],
});
const haPackage = (name: string, prepare: () => Promise<unknown>, ...says: string[]): Case => ({
  name: `an HA package ${name}`,
  prepare,
  flags: { 'ha-package': other },
  says: ['--ha-package', ...says],
});

/** Found before the other server is touched. */
const answers: readonly Case[] = [
  { name: 'an address where nobody is', flags: { 'secondary-ip': '10.77.0.99' }, says: ['10.77.0.99', 'port 22'] },
  wrong('secondary-ip', cms1.address, `${cms1.address} is this server itself`),
  wrong('secondary-ip', 'fe80::1', 'link-local'),
  wrong('secondary-ip', '$(reboot)', '$(reboot)'),
  wrong('secondary-ip', '-oProxyCommand=x', '-oProxyCommand=x'),
  wrong('secondary-ip', '10.77.0.12\n10.77.0.13', 'is no IP address'),
  wrong('secondary-fqdn', cms1.fqdn, 'is this server itself'),
  wrong('secondary-fqdn', 'cms2', 'has no domain'),
  wrong('secondary-fqdn', 'cms2.lab.example"; reboot', 'is no host name'),
  wrong('ntp-server', '`reboot`', 'is no IP address'),
  wrong('peer-user', "root'; reboot", 'is no user name'),
  wrong('ssh-port', '22; reboot', 'is no port'),
  wrong('licence-package', '/root/$(reboot)', 'cannot be read'),
  wrong('ha-package', 'HAcms.zip', 'is no full path'),
  licence('without OT_CONN', { feature: 'OTHER' }, 'OT_CONN'),
  licence('that has ended', { expires: '2021-01-01' }, '2021-01-01'),
  licence('signed by a stranger', { key: strangersKey() }, 'not accepted'),
  haPackage('that is no zip', () => otherZip(Buffer.from('no zip')), other),
  haPackage('that is cut off', truncated, other),
  haPackage('of somebody else', () => otherZip(rawZip([{ name: 'a.txt' }])), other),
  haPackage('with ../ in a name', () => otherZip(rawZip([{ name: '../../etc/cron.d/x' }])), other),
  haPackage('with a link', () => otherZip(rawZip([{ name: 'install', mode: 0o120777 }])), other),
  {
    name: 'a host key that nobody vouched for',
    flags: { 'peer-fingerprint': undefined },
    exitCode: 64,
    says: ['--peer-fingerprint'],
  },
  {
    name: 'a fingerprint that is not the one of the server',
    flags: { 'peer-fingerprint': `SHA256:${'A'.repeat(43)}` },
    says: [cms2.address, 'shown: ssh-ed25519 SHA256:', 'Nothing was sent'],
  },
  {
    name: 'a host key that is not the pinned one',
    prepare: () => sh('cms1', `sed "s/^/${cms2.address} /" /etc/ssh/ssh_host_ed25519_key.pub >/root/.ssh/known_hosts`),
    undo: () => sh('cms1', 'rm /root/.ssh/known_hosts'),
    flags: { 'peer-fingerprint': undefined },
    says: [cms2.address, 'another host key', 'Nothing was sent'],
  },
  {
    name: 'a wrong password',
    prepare: () => writeFile('cms1', '/root/wrong-password', 'wrong\n'),
    flags: { 'peer-password-file': '/root/wrong-password' },
    says: [cms2.address, 'refused the login of root'],
  },
];

/** Found by looking at the other server. */
const states: readonly Case[] = [
  {
    name: 'the name of another server',
    flags: { 'secondary-fqdn': 'cms3.lab.example' },
    says: [cms2.address, 'calls itself cms2'],
  },
  {
    name: 'another release of the product on the other server',
    prepare: () =>
      sh('cms2', 'cp -p /cms/install/release /root/kept; sed -i "s/^RELEASE=.*/RELEASE=99/" /cms/install/release'),
    undo: () => sh('cms2', 'cp -p /root/kept /cms/install/release; rm /root/kept'),
    says: ['Release', '99'],
  },
  {
    name: 'a managed file that is a link',
    prepare: () => sh('cms2', 'mv /etc/hosts /etc/hosts.real && ln -s hosts.real /etc/hosts'),
    undo: () => sh('cms2', 'mv /etc/hosts.real /etc/hosts'),
    says: [cms2.fqdn, '/etc/hosts', 'hosts.real'],
  },
  {
    name: 'a managed file that cannot be written',
    prepare: () =>
      sh('cms2', 'cd /cms/install/security && mount --bind OpenPorts OpenPorts && mount -o remount,bind,ro OpenPorts'),
    undo: () => sh('cms2', 'umount /cms/install/security/OpenPorts'),
    says: [cms2.fqdn, '/cms/install/security/OpenPorts', 'EROFS'],
  },
  {
    name: 'a managed file that is immutable',
    prepare: () => sh('cms2', 'chattr +i /etc/hosts'),
    undo: () => sh('cms2', 'chattr -i /etc/hosts'),
    says: [cms2.fqdn, '/etc/hosts', 'EPERM'],
  },
  {
    name: 'a managed file on a full file system',
    prepare: () =>
      sh(
        'cms1',
        'cd /opt/informix && cp -a etc /root/kept && mount -t tmpfs -o size=1m none etc && cp -a /root/kept/. etc && ! head -c 2m /dev/zero >etc/full',
      ),
    undo: () => sh('cms1', 'umount /opt/informix/etc && rm -r /root/kept'),
    says: [cms1.fqdn, '/opt/informix/etc/sqlhosts', 'full'],
  },
  {
    name: 'a contradiction in a hosts file',
    prepare: () => sh('cms2', `cp -p /etc/hosts /root/kept; echo "10.77.0.55 ${cms1.fqdn} cms1" >>/etc/hosts`),
    undo: () => sh('cms2', 'cp -p /root/kept /etc/hosts; rm /root/kept'),
    says: [cms2.fqdn, '/etc/hosts', '10.77.0.55'],
  },
  {
    name: 'a port of the pair that is taken',
    prepare: () => sh('cms2', 'systemd-run --quiet --unit=taker nc -l -k 6811 && sleep 0.3'),
    undo: () => sh('cms2', 'systemctl stop taker'),
    says: [cms2.fqdn, '6811/tcp'],
  },
  {
    name: 'no folder of the other server that may execute programs',
    prepare: () =>
      sh(
        'cms2',
        'mount -o remount,noexec /run; for f in /var/tmp /tmp /root; do mount --bind $f $f; mount -o remount,bind,noexec $f; done',
      ),
    undo: () => sh('cms2', 'mount -o remount,exec /run; umount /root /tmp /var/tmp'),
    says: [cms2.address, 'noexec'],
  },
  {
    name: 'no room for the program’s first run on the other server',
    prepare: () =>
      sh(
        'cms2',
        'mount -o remount,size=64m /run; for f in /var/tmp /tmp /root; do mount -t tmpfs -o size=64m none $f; done',
      ),
    undo: () => sh('cms2', 'umount /root /tmp /var/tmp; mount -o remount,size=20% /run'),
    says: [cms2.address, '300 MB'],
  },
  {
    name: 'no room for the installed program on the other server',
    prepare: () => sh('cms2', 'mkdir /opt/cmsadm && mount -t tmpfs -o size=64m none /opt/cmsadm'),
    undo: () => sh('cms2', 'umount /opt/cmsadm && rmdir /opt/cmsadm'),
    says: [cms2.address, 'space'],
  },
];

describe.skipIf(!ok)(`bad input${ok ? '' : ` (skipped: ${why})`}`, () => {
  useFreshLab();
  let undo: (() => Promise<unknown>) | undefined;
  afterEach(async () => {
    await undo?.();
    undo = undefined;
  });

  const setUpWith = async (flags: Flags = {}, ...more: string[]) =>
    cmsadm(
      'cms1',
      'config_HA',
      'setup',
      ...argsOf({ ...(await rightAnswers()), ...flags }),
      '--yes',
      '--json',
      ...more,
    );

  it.each([...answers, ...states])('is refused, with reason and remedy, and nothing is touched: $name', async (one) => {
    undo = one.undo;
    await one.prepare?.();
    const before = await standingOfBoth();
    const result = await setUpWith(one.flags);
    expect(result.exitCode, told(result)).toBe(one.exitCode ?? 3);
    const object = objectOf(result);
    expect(object, told(result)).toMatchObject({ error: { remedy: expect.stringMatching(/\w/) } });
    for (const text of one.says)
      expect(JSON.stringify(object), told(result)).toContain(JSON.stringify(text).slice(1, -1));
    await expectUntouched(before);
  });

  it('works although root’s .bashrc on the other server prints', async () => {
    const noise = 'echo welcome to cms2; echo "{\\"id\\":1,\\"result\\":null}"; echo cmsadm-folder; echo trouble >&2\n';
    const bashrc = (await readFile('cms2', '/root/.bashrc')).toString();
    await writeFile('cms2', '/root/.bashrc', noise + bashrc);
    undo = () => writeFile('cms2', '/root/.bashrc', bashrc);
    expect((await attempt('cms1', 'sh', '-c', 'true')).exitCode).toBe(0);
    const before = await standingOfBoth();
    const result = await setUpWith({}, '--dry-run');
    expect(result.exitCode, told(result)).toBe(2);
    await expectUntouched(before);
  });

  // The last one: it makes a pair.
  it('is a second operator who was faster: the first one’s y is refused, and the pair is the second one’s', async () => {
    const terminal = await openTerminal('cms1', 'first');
    try {
      const first = argsOf({ ...(await rightAnswers()), 'peer-key': undefined });
      await terminal.type(`cmsadm config_HA setup ${first.join(' ')}`);
      for (const question of ['SSH port of the secondary (default: 22):', 'password or agent):'])
        await terminal.answer(question, '');
      await terminal.see('Proceed? (y/n, d shows the diffs):', 60);
      const second = await setUpWith();
      expect(second.exitCode, told(second)).toBe(0);
      await expect
        .poll(() => sh('cms1', 'cat /run/cmsadm/agent.json'), { timeout: 15_000 })
        .toMatch(/"state":"in step","queue":0/);
      const before = await standingOfBoth();
      await terminal.answer('Proceed? (y/n, d shows the diffs):', 'y');
      expect([3, 4]).toContain(await terminal.exitCode(120));
      const screen = (await terminal.lines()).join('\n');
      expect(screen).toMatch(/is no longer what the plan saw|is changing this pair|was changed while/);
      await expectUntouched(before);
      const shown = await cmsadm('cms1', 'config_HA', 'show');
      expect(shown.stdout).toContain('Both servers agree.');
    } finally {
      await terminal.close();
    }
  });
});
