import { describe, expect, test } from 'vitest';
import { edit, inputDrops, undo } from '../../src/config-files/nftables.ts';
import type { PeerPort } from '../../src/config-files/server.ts';
import { refusalOf, testLaws, withoutDigests } from './generated-texts.ts';

const four: PeerPort = { port: 22, protocol: 'tcp', from: '10.0.0.2' };
const six: PeerPort = { port: 6790, protocol: 'udp', from: '2001:db8::2' };
const ports = [four, six];
const rule4 = 'ip saddr 10.0.0.2 tcp dport 22 accept';
const rule6 = 'ip6 saddr 2001:db8::2 udp dport 6790 accept';

describe('rules for the peer open every input chain that drops', () => {
  test.each([
    {
      name: 'a chain over several lines',
      before:
        'table inet filter {\n\tchain input {\n\t\ttype filter hook input priority 0; policy drop; # "keep\n\t\tiif lo accept\n\t}\n}\n',
      after: `table inet filter {\n\tchain input {\n\t\ttype filter hook input priority 0; policy drop; # "keep\n\t\t# cmsadm begin\n\t\t${rule4}\n\t\t${rule6}\n\t\t# cmsadm end\n\t\tiif lo accept\n\t}\n}\n`,
    },
    {
      name: 'a policy on a line of its own',
      before: 'table ip a {\n chain b {\n  type filter hook input priority filter\n  policy drop\n }\n}\n',
      after: `table ip a {\n chain b {\n  type filter hook input priority filter\n  # cmsadm begin\n  ${rule4}\n  # cmsadm end\n  policy drop\n }\n}\n`,
    },
    {
      name: 'a chain on one line, at the end of a file without newline',
      before: 'table ip6 a { chain b { type filter hook input priority 0; policy drop; }; }',
      after: `#cmsadm was# table ip6 a { chain b { type filter hook input priority 0; policy drop; }; }\n# cmsadm begin\ntable ip6 a { chain b { type filter hook input priority 0;\n    ${rule6}\npolicy drop; }; }`,
    },
    {
      name: 'a last rule that rejects, behind sets in braces and strings with braces',
      before:
        'table inet a {\n set s { type ipv4_addr; elements = { 10.0.0.0/8,\n 1.1.1.1 } }\n chain b {\n  type filter hook input priority 0; policy accept;\n  tcp dport { 22,\n   80 } accept\n  log prefix "} drop {" level warn counter reject with icmpx type admin-prohibited\n }\n}\n',
      after: `table inet a {\n set s { type ipv4_addr; elements = { 10.0.0.0/8,\n 1.1.1.1 } }\n chain b {\n  type filter hook input priority 0; policy accept;\n  # cmsadm begin\n  ${rule4}\n  ${rule6}\n  # cmsadm end\n  tcp dport { 22,\n   80 } accept\n  log prefix "} drop {" level warn counter reject with icmpx type admin-prohibited\n }\n}\n`,
    },
    {
      name: 'a rule on the line of the hook',
      before: 'table a {\n  chain b { type filter hook input priority 0; iif lo accept\n  drop\n  }\n}\n',
      after: `table a {\n#cmsadm was#   chain b { type filter hook input priority 0; iif lo accept\n  # cmsadm begin\n  chain b { type filter hook input priority 0;\n      ${rule4}\n  iif lo accept\n  # cmsadm end\n  drop\n  }\n}\n`,
    },
  ])('$name', ({ before, after }) => {
    expect(inputDrops(before)).toBe(true);
    const edited = edit(before, { ports });
    expect(withoutDigests(edited)).toBe(after);
    expect(undo(edited)).toBe(before);
  });

  test('two tables that drop are both opened', () => {
    const chain = 'chain i {\ntype filter hook input priority 0; policy drop;\n}\n';
    const edited = edit(`table ip a {\n${chain}}\ntable ip6 b {\n${chain}}\n`, { ports });
    expect(edited.match(/saddr/g)).toHaveLength(2);
    expect(edited.indexOf(rule4)).toBeLessThan(edited.indexOf('table ip6'));
    expect(edited.indexOf(rule6)).toBeGreaterThan(edited.indexOf('table ip6'));
  });
});

describe('there is nothing to do', () => {
  test.each([
    { name: 'in an empty file', text: '' },
    {
      name: 'where the policy accepts',
      text: 'table inet a {\nchain i {\ntype filter hook input priority 0; policy accept;\n}\n}\n',
    },
    {
      name: 'where another hook drops',
      text: 'table inet a {\nchain f {\ntype filter hook forward priority 0; policy drop;\n}\n}\n',
    },
    {
      name: 'where only a condition drops',
      text: 'table inet a {\nchain i {\ntype filter hook input priority 0;\nct state invalid drop\n}\n}\n',
    },
    { name: 'where a last rule drops in a plain chain', text: 'table inet a {\nchain c {\ndrop\n}\n}\n' },
    {
      name: 'where the chain is a comment',
      text: '# table inet a { chain i { type filter hook input priority 0; policy drop;\n',
    },
    {
      name: 'in a bridge table',
      text: 'table bridge a {\nchain i {\ntype filter hook input priority 0; policy drop;\n}\n}\n',
    },
  ])('$name', ({ text }) => {
    expect(inputDrops(text)).toBe(false);
    expect(edit(text, { ports })).toBe(text);
  });

  test('in a chain of the other address family', () => {
    const text = 'table ip a {\nchain i {\ntype filter hook input priority 0; policy drop;\n}\n}\n';
    expect(edit(text, { ports: [six] })).toBe(text);
  });
});

test.each([
  { name: 'an open brace', text: 'table inet a {\n' },
  { name: 'a brace too many', text: 'table inet a { }\n}\n' },
  { name: 'an open quote', text: 'define x = "a\n' },
  { name: 'an open set', text: 'define x = { 1, 2\n' },
  {
    name: 'an input chain outside of its table',
    text: 'add chain inet f i { type filter hook input priority 0; policy drop; }\n',
  },
])('a file with $name is refused with the lines to add', ({ text }) => {
  expect(refusalOf(() => edit(text, { ports }))).toEqual({ code: 'firewall-unreadable', details: [rule4, rule6] });
  expect(refusalOf(() => inputDrops(text))).toMatchObject({ code: 'firewall-unreadable' });
});

testLaws(
  'nftables',
  [
    'type filter hook input priority 0; policy drop;',
    'type filter hook input priority 0',
    'policy drop',
    'tcp dport { 22, 80 } accept',
    'log prefix "{" drop',
    '# a "comment {',
    '} ; chain c { type filter hook input priority 0; policy drop; iif lo accept',
  ],
  (text) => `table inet a {\nchain b {\n${text}\n}\n}`,
);
