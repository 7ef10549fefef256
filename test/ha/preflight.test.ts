import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { Check } from '../../src/ha/check.ts';
import { failed, type PreflightInput, preflight, toConfirm } from '../../src/ha/preflight.ts';
import { tempFolder } from '../packages/temp-folder.ts';
import { factsOf, openCase } from './plan-case.ts';
import { preflightFaults, withAnswers, withIdentity, withPeer, withSshd } from './preflight-faults.ts';

const folder = tempFolder();
let good: PreflightInput;
beforeAll(async () => {
  const one = openCase('debian', join(folder, 'debian'));
  good = {
    facts: await factsOf(one),
    answers: one.answers,
    profile: one.inputs.profile,
    clockOffset: 0,
    latency: 0.4,
    problems: { local: [], peer: [] },
    findings: [{ id: 'licence', server: 'cms1.example.com', ok: 'The licence is right.' }],
  };
});

const noPass = (checks: readonly Check[]): Check[] => checks.filter(({ level }) => level !== 'pass');

test('two servers that fit pass every check, on both', () => {
  const checks = preflight(good);
  expect(noPass(checks)).toEqual([]);
  expect(failed(checks)).toBe(false);
  for (const server of ['cms1.example.com', 'cms2.example.com'])
    for (const id of [
      'root',
      'os',
      'services',
      'sshd',
      'release',
      'address',
      'static',
      'disk',
      'ports',
      'firewall',
      'files',
    ])
      expect(
        checks.filter((check) => check.id === id && check.server === server),
        `${id} on ${server}`,
      ).toHaveLength(1);
  for (const { text } of checks) expect(text).not.toMatch(/undefined|NaN|\[object/);
});

test('what no program can see is there to confirm', () => {
  expect(toConfirm.join(' ')).toMatch(/power.*subnet.*switch/);
});

describe('each check has its fail or warning, names the server, and says what to do', () => {
  test.each(preflightFaults)('$name', ({ input, id, level, server, says }) => {
    const checks = preflight(input(good));
    const mine = checks.filter((check) => check.id === id && check.level !== 'pass');
    expect(mine).toMatchObject([{ level, server, remedy: expect.stringMatching(/\w/) }]);
    expect(mine.map(({ text, remedy, details = [] }) => [text, remedy, ...details].join('\n')).join()).toMatch(says);
    expect(
      noPass(checks).filter((check) => check.id !== id),
      'nothing else',
    ).toEqual([]);
    expect(failed(checks)).toBe(level === 'fail');
  });
});

describe('what is no fault', () => {
  test.each([
    {
      name: 'two time zones with an NTP server',
      input: (i: PreflightInput) =>
        withAnswers(withIdentity(i, { timeZone: 'Asia/Tokyo' }), { ntpServer: '192.0.2.123' }),
      id: 'time-zone',
    },
    {
      name: 'the pair’s own ports in use once it is set up',
      input: (i: PreflightInput) => {
        const { self, peer: other } = i.answers;
        const pair = {
          epoch: 1,
          primary: self,
          secondary: other,
          ntpServer: null,
          rhosts: true,
          licencePackage: '',
          haPackage: '',
          profile: 'cms',
        };
        return withPeer(i, { pair, listeners: [{ port: 6811, protocol: 'tcp' }] });
      },
      id: 'ports',
    },
    {
      name: 'a UDP listener on the number of a TCP port',
      input: (i: PreflightInput) => withPeer(i, { listeners: [{ port: 6811, protocol: 'udp' }] }),
      id: 'ports',
    },
    {
      name: 'a little less memory',
      input: (i: PreflightInput) => withIdentity(i, { memoryMb: 30000 }),
      id: 'capacity',
    },
    {
      name: 'a clock less than a second ahead',
      input: (i: PreflightInput) => ({ ...i, clockOffset: 900 }),
      id: 'clock',
    },
    {
      name: 'sshd files that were changed before it read them',
      input: (i: PreflightInput) => withSshd(i, 1_000, 999, 1_000),
      id: 'sshd-pending',
    },
    {
      name: 'an edit for an sshd that reads its files for each connection',
      input: (i: PreflightInput) => {
        const input = withSshd(i, 1_000, 1_001);
        const socket = { exists: true, active: false, enabled: false, changedAt: 1_000 };
        return withPeer(input, { units: { ...input.facts.peer.units, 'ssh.service': socket } });
      },
      id: 'sshd-pending',
    },
    {
      name: 'no firewall at all',
      input: (i: PreflightInput) => withPeer(i, { firewall: { firewalldActive: false, nftRuleset: '', iptables: '' } }),
      id: 'firewall',
    },
  ])('$name', ({ input, id }) => {
    expect(noPass(preflight(input(good))).filter((check) => check.id === id)).toEqual([]);
  });

  test('clocks far apart are only a warning with an NTP server', () => {
    const checks = preflight(withAnswers({ ...good, clockOffset: 90_000 }, { ntpServer: '192.0.2.123' }));
    expect(noPass(checks)).toMatchObject([{ id: 'clock', level: 'warn' }]);
  });
});
