import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { judgeStaged } from '../../src/change/judges.ts';
import type { Judge, Verdict } from '../../src/host/system.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { changeOf, testHost } from './test-host.ts';

const folder = tempFolder();
const key = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIL0pGHrR4DJvlgEbZuFdXgu82nc47jW81ENhqQFOOqrx';

let number = 0;
/** Who was asked about which of these new files, by a system that says this of each. */
async function judged(texts: Readonly<Record<string, string | null>>, says: (judge: Judge) => Verdict) {
  number += 1;
  const asked: string[] = [];
  const host = testHost(join(folder, String(number)), {
    judge: async (judge, file) => {
      asked.push(`${judge} ${file}`);
      return says(judge);
    },
  });
  const outcome = await judgeStaged(host, changeOf(host, texts), ({ path }) => `${path}.staged`).catch(
    (error: unknown) => error,
  );
  return { asked, outcome };
}
const good = (): Verdict => ({ ran: true, problem: undefined });

test.each([
  { path: '/etc/chrony/chrony.conf', text: 'pool a\n', judge: 'chrony' },
  { path: '/etc/nftables.conf', text: 'flush ruleset\n', judge: 'nftables' },
  { path: '/root/.ssh/id_cmsadm', text: 'x\n', judge: 'keys' },
  { path: '/root/.ssh/authorized_keys', text: `# ours\nrestrict ${key} a\n`, judge: 'keys' },
  { path: '/root/.ssh/known_hosts', text: `cms2 ${key}\n`, judge: 'keys' },
])('$path is judged where it is staged, by $judge', async ({ path, text, judge }) => {
  expect(await judged({ [path]: text }, good)).toEqual({ asked: [`${judge} ${path}.staged`], outcome: [] });
});

test('a rendered file is judged by the program that its row names', async () => {
  number += 1;
  const host = testHost(join(folder, String(number)), { judge: async (judge) => ({ ran: true, problem: judge }) });
  const change = changeOf(host, { '/etc/hosts': 'x\n' });
  const files = change.files.map((file) => ({ ...file, kind: 'rendered' as const, judge: 'keepalived' as const }));
  await expect(judgeStaged(host, { ...change, files }, ({ path }) => path)).rejects.toMatchObject({
    code: 'judged-bad',
    message: expect.stringContaining('keepalived'),
  });
});

test.each([
  { name: 'a file that goes', texts: { '/root/.rhosts': null } },
  {
    name: 'a list without a key, which ssh-keygen takes for no list',
    texts: { '/root/.ssh/authorized_keys': '# none\n' },
  },
  { name: 'a file that only parsers of ours read', texts: { '/etc/hosts': '127.0.0.1 localhost\n' } },
])('nobody is asked about $name', async ({ texts }) => {
  expect(await judged(texts, good)).toEqual({ asked: [], outcome: [] });
});

test('what is refused ends it, with the file and the reason; what nobody could judge is named', async () => {
  const texts = { '/etc/chrony/chrony.conf': 'bad\n', '/root/.ssh/known_hosts': `cms2 ${key}\n` };
  const refused = await judged(texts, (judge) => ({ ran: true, problem: judge === 'keys' ? 'no key' : undefined }));
  expect(refused.asked).toHaveLength(2);
  expect(refused.outcome).toMatchObject({
    code: 'judged-bad',
    file: '/root/.ssh/known_hosts',
    message: expect.stringContaining('no key'),
  });
  expect((await judged(texts, () => ({ ran: false }))).outcome).toEqual(Object.keys(texts));
});

test.each([
  { name: 'as it is', afterReload: 'table ip a {\n}\n', lost: undefined },
  { name: 'with a table less', afterReload: '', lost: ['table ip a'] },
  { name: 'in a way that nobody could find out', afterReload: undefined, lost: undefined },
])('rules in force that a reload of the firewall’s file leaves $name', async ({ afterReload, lost }) => {
  number += 1;
  const host = testHost(join(folder, String(number)), {
    judge: async () => good(),
    firewall: async () => ({
      firewalldActive: false,
      nftRuleset: 'table ip a {\n}\n',
      iptables: '',
      ...(afterReload === undefined ? {} : { afterReload }),
    }),
  });
  mkdirSync(join(host.root.prefix, 'etc'), { recursive: true });
  writeFileSync(join(host.root.prefix, 'etc/nftables.conf'), 'flush ruleset\n');
  const change = changeOf(host, { '/etc/nftables.conf': 'flush ruleset\n# ours\n' });
  const outcome = judgeStaged(host, change, ({ path }) => path);
  if (lost === undefined) expect(await outcome).toEqual([]);
  else await expect(outcome).rejects.toMatchObject({ code: 'reload-would-drop', details: lost });
});

test.each([
  { name: 'the files have too', now: 'public (active)\n  interfaces: eth0\n  services: ssh\n', lost: undefined },
  { name: 'no file has', now: 'public\n  services: http ssh\n', lost: ['public: services: http'] },
])('settings of the running firewalld that $name', async ({ now, lost }) => {
  number += 1;
  const zone = '/etc/firewalld/zones/public.xml';
  const asked: unknown[] = [];
  const host = testHost(join(folder, String(number)), {
    firewall: async (file) => {
      asked.push(file);
      const firewalld = { now, afterReload: 'public\n  interfaces: \n  services: ssh\n' };
      return { firewalldActive: true, nftRuleset: '', iptables: '', firewalld };
    },
  });
  mkdirSync(join(host.root.prefix, 'etc/firewalld/zones'), { recursive: true });
  writeFileSync(join(host.root.prefix, zone), '<zone>\n</zone>\n');
  const change = changeOf(host, { [zone]: '<zone>\n<!-- ours -->\n</zone>\n' });
  const files = change.files.map((file) => ({ ...file, kind: 'firewalld' as const }));
  const outcome = judgeStaged(host, { ...change, files }, ({ path }) => path);
  if (lost === undefined) expect(await outcome).toEqual([]);
  else
    await expect(outcome).rejects.toMatchObject({
      code: 'reload-would-drop',
      details: lost,
      remedy: expect.stringContaining('firewall-cmd'),
    });
  // No nft(8) reads a zone.
  expect(asked).toEqual([undefined]);
});

test.each([
  { name: 'its file has too', afterReload: ':INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\n', lost: undefined },
  { name: 'its file has not', afterReload: ':INPUT DROP [0:0]\n', lost: ['-A INPUT -i lo -j ACCEPT'] },
])('rules of iptables in force that $name', async ({ afterReload, lost }) => {
  number += 1;
  const path = '/etc/iptables/rules.v4';
  const asked: unknown[] = [];
  const host = testHost(join(folder, String(number)), {
    judge: async () => good(),
    firewall: async (file) => {
      asked.push(file);
      const iptables = ':INPUT DROP [3:180]\n-A INPUT -i lo -j ACCEPT\n';
      return { firewalldActive: false, nftRuleset: '', iptables, afterReload };
    },
  });
  mkdirSync(join(host.root.prefix, 'etc/iptables'), { recursive: true });
  writeFileSync(join(host.root.prefix, path), '*filter\nCOMMIT\n');
  const change = changeOf(host, { [path]: '*filter\n# ours\nCOMMIT\n' });
  const files = change.files.map((file) => ({ ...file, kind: 'iptables' as const }));
  const outcome = judgeStaged(host, { ...change, files }, () => path);
  if (lost === undefined) expect(await outcome).toEqual([]);
  else await expect(outcome).rejects.toMatchObject({ code: 'reload-would-drop', details: lost });
  expect(asked).toEqual([{ adapter: 'iptables', path }]);
});
