import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { lostByReload } from '../../src/ha/firewall.ts';
import { preflight } from '../../src/ha/preflight.ts';
import { sha256 } from '../../src/host/root.ts';
import type { Facts } from '../../src/pair/facts.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { factsOf, openCase, type PlanCase } from './plan-case.ts';

const folder = tempFolder();
let one: PlanCase;
let peer: Facts;
let local: Facts;
beforeAll(async () => {
  one = openCase('debian', join(folder, 'debian'));
  ({ peer, local } = await factsOf(one));
});

const chain = 'chain input { type filter hook input priority 0; policy drop; }';
const filter = `table inet filter {\n  ${chain}\n}\n`;
const flushing = `#!/usr/sbin/nft -f\nflush ruleset\n${filter}`;
const ban = 'table inet f2b-table {\n  set addr { type ipv4_addr; }\n}\n';
const nat = 'table ip nat {\n  chain post { type nat hook postrouting priority 100; }\n}\n';

/** The same server with this file and these rules in force. */
const withRules = (file: string, ruleset: string): Facts => ({
  ...peer,
  firewall: { firewalldActive: false, nftRuleset: ruleset, iptables: '' },
  files: peer.files.map((each) =>
    each.row.path === '/etc/nftables.conf'
      ? {
          ...each,
          fact: { state: 'file', content: file, sha256: sha256(file), mode: 0o644, owner: 'root', group: 'root' },
        }
      : each,
  ),
});

describe('tables that a reload of the file would drop', () => {
  test.each([
    { name: 'one that fail2ban made', file: flushing, ruleset: filter + ban, lost: ['inet f2b-table'] },
    { name: 'two', file: flushing, ruleset: filter + ban + nat, lost: ['inet f2b-table', 'ip nat'] },
    {
      name: 'one of the same name in another family',
      file: flushing,
      ruleset: `${filter}table ip6 filter {\n}\n`,
      lost: ['ip6 filter'],
    },
    { name: 'none where the file has them all', file: flushing + ban, ruleset: filter + ban, lost: [] },
    {
      name: 'none where the file says `table nat` for ip',
      file: `${flushing}table nat {\n}\n`,
      ruleset: filter + nat,
      lost: [],
    },
    { name: 'none where the file flushes nothing', file: filter, ruleset: filter + ban, lost: [] },
    { name: 'none where the flush is a comment', file: `# flush ruleset\n${filter}`, ruleset: filter + ban, lost: [] },
  ])('$name', ({ file, ruleset, lost }) => {
    expect(lostByReload(one.inputs.profile, withRules(file, ruleset)).tables).toEqual(lost);
  });
});

test('they fail preflight by name, on the server that holds them', () => {
  const checks = preflight({
    facts: { local, peer: withRules(flushing, filter + ban) },
    answers: one.answers,
    profile: one.inputs.profile,
    clockOffset: 0,
    latency: 0.4,
    problems: { local: [], peer: [] },
    findings: [],
  });
  expect(checks.filter(({ id }) => id === 'firewall-tables')).toMatchObject([
    {
      level: 'fail',
      server: 'cms2.example.com',
      text: expect.stringContaining('inet f2b-table'),
      remedy: expect.stringContaining('Write them into that file'),
    },
  ]);
});

test('settings that only the running firewalld has fail preflight, with the way to keep them', async () => {
  const rhel = openCase('rhel', join(folder, 'rhel'));
  const facts = await factsOf(rhel);
  const zone = 'public\n  interfaces: \n  services: ssh\n  rich rules: \n';
  const withZones = (now: string): Facts => ({
    ...facts.peer,
    firewall: { ...facts.peer.firewall, firewalld: { now, afterReload: zone } },
  });
  const checksOf = (now: string) =>
    preflight({
      facts: { local: facts.local, peer: withZones(now) },
      answers: rhel.answers,
      profile: rhel.inputs.profile,
      clockOffset: 0,
      latency: 0.4,
      problems: { local: [], peer: [] },
      findings: [],
    }).filter(({ id }) => id === 'firewall-rules');
  expect(checksOf(zone.replace('interfaces: ', 'interfaces: eth0'))).toEqual([]);
  expect(
    checksOf(`${zone}\trule family="ipv4" source address="198.51.100.7" service name="ssh" accept\n`),
  ).toMatchObject([
    {
      level: 'fail',
      server: 'cms2.example.com',
      text: expect.stringContaining('firewalld'),
      remedy: expect.stringContaining('--runtime-to-permanent'),
      details: ['public: rich rules: rule family="ipv4" source address="198.51.100.7" service name="ssh" accept'],
    },
  ]);
});

test('so do rules of iptables that its file has not', async () => {
  const iptables = openCase('iptables', join(folder, 'iptables'));
  const facts = await factsOf(iptables);
  const now =
    '*filter\n:INPUT DROP [9:540]\n-A INPUT -i lo -j ACCEPT\n-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT\nCOMMIT\n';
  const lostOf = (afterReload: string) =>
    lostByReload(iptables.inputs.profile, {
      ...facts.peer,
      firewall: { ...facts.peer.firewall, iptables: now, afterReload },
    });
  expect(lostOf(now.replace('9:540', '0:0'))).toEqual({ tables: [], rules: [] });
  expect(lostOf('*filter\n:INPUT DROP [0:0]\n-A INPUT -i lo -j ACCEPT\nCOMMIT\n').rules).toEqual([
    '-A INPUT -p tcp -m tcp --dport 22 -j ACCEPT',
  ]);
});
