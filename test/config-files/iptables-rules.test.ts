import { describe, expect, test } from 'vitest';
import { edit, inputDrops, undo } from '../../src/config-files/iptables-rules.ts';
import type { PeerPort } from '../../src/config-files/server.ts';
import { testLaws } from './generated-texts.ts';

const ports: PeerPort[] = [
  { port: 22, protocol: 'tcp', from: '10.0.0.2' },
  { port: 22, protocol: 'tcp', from: '2001:db8::2' },
];
const rule4 = '-A INPUT -s 10.0.0.2/32 -p tcp -m tcp --dport 22 -m comment --comment cmsadm -j ACCEPT';
const rule6 = rule4.replace('10.0.0.2/32', '2001:db8::2/128');

describe('a rule for the peer stands before the first rule of INPUT', () => {
  test.each([
    {
      name: 'in the filter table only',
      before:
        '*nat\n-A INPUT -j RETURN\nCOMMIT\n*filter\n:INPUT DROP [0:0]\n-A FORWARD -j DROP\n[1:60] -A INPUT -i lo -j ACCEPT\nCOMMIT\n',
      after: `*nat\n-A INPUT -j RETURN\nCOMMIT\n*filter\n:INPUT DROP [0:0]\n-A FORWARD -j DROP\n${rule4}\n[1:60] -A INPUT -i lo -j ACCEPT\nCOMMIT\n`,
    },
    {
      name: 'or before COMMIT where INPUT has none',
      before: '*filter\n:INPUT DROP [0:0]\nCOMMIT',
      after: `*filter\n:INPUT DROP [0:0]\n${rule4}\nCOMMIT`,
    },
  ])('$name', ({ before, after }) => {
    expect(edit(before, { ports })).toBe(after);
    expect(undo(after)).toBe(before);
  });

  test('of its own address family', () => {
    const before = '*filter\n:INPUT DROP [0:0]\nCOMMIT\n';
    expect(edit(before, { ports, family: 'ipv6' })).toBe(`*filter\n:INPUT DROP [0:0]\n${rule6}\nCOMMIT\n`);
  });

  test('and is found again as iptables-save writes it back', () => {
    const saved = `*filter\n[12:720] ${rule4.replace('comment cmsadm', 'comment "cmsadm"')}\nCOMMIT\n`;
    expect(undo(saved)).toBe('*filter\nCOMMIT\n');
  });

  test('and is not mistaken for a rule of the administrator', () => {
    const his = '*filter\n-A INPUT -s 10.0.0.2/32 -j ACCEPT\n-A INPUT -m comment --comment cmsadm -j DROP\nCOMMIT\n';
    expect(undo(his)).toBe(his);
  });
});

describe('INPUT drops', () => {
  test.each([
    { rules: ':INPUT DROP [0:0]', expected: true },
    { rules: ':INPUT ACCEPT [0:0]\n-A INPUT -j REJECT --reject-with icmp-host-prohibited', expected: true },
    { rules: '-A INPUT -m comment --comment "last rule" -j DROP', expected: true },
    { rules: '-A INPUT -j chain\n-A chain -j deeper\n-A deeper -j chain\n-A deeper --jump DROP', expected: true },
    { rules: ':INPUT ACCEPT [0:0]\n:FORWARD DROP [0:0]\n-A FORWARD -j DROP', expected: false },
    { rules: '-A INPUT -p tcp -j DROP', expected: false },
    { rules: '-A INPUT -p tcp -j chain\n-A chain -j DROP', expected: false },
    { rules: '# -A INPUT -j DROP', expected: false },
  ])('$rules: $expected', ({ rules, expected }) => {
    const text = `*filter\n${rules}\nCOMMIT\n`;
    expect(inputDrops(text)).toBe(expected);
    expect(edit(text, { ports }) !== text).toBe(expected);
  });

  test('not in another table', () => {
    expect(inputDrops('*mangle\n:INPUT DROP [0:0]\nCOMMIT\n')).toBe(false);
  });
});

testLaws(
  'iptables',
  [':INPUT DROP [0:0]', '-A INPUT -i lo -j ACCEPT', '[1:2] -A INPUT -j DROP', '-A OUTPUT -j LOG', 'COMMIT', '*nat'],
  (text) => `*filter\n${text}`,
);
