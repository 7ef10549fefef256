import { expect, test } from 'vitest';
import { lostLines } from '../../src/config-files/nftables-ruleset.ts';

const ruleset = (...rules: string[]): string =>
  ['table inet filter {', '\tchain input {', ...rules.map((rule) => `\t\t${rule}`), '\t}', '}', ''].join('\n');
const set = (element: string): string =>
  `table inet f2b {\n\tset banned {\n\t\ttype ipv4_addr\n\t\telements = { ${element},\n\t\t\t     192.0.2.9 }\n\t}\n}\n`;
const input = 'table inet filter: chain input';

test.each([
  {
    name: 'nothing of an equal one',
    now: ruleset('tcp dport 22 accept'),
    after: ruleset('tcp dport 22 accept'),
    lost: [],
  },
  {
    name: 'a rule that only the kernel has',
    now: ruleset('iif "lo" accept', 'tcp dport 22 accept'),
    after: ruleset('iif "lo" accept'),
    lost: [`${input}: tcp dport 22 accept`],
  },
  {
    name: 'nothing where rules are added',
    now: ruleset('iif "lo" accept'),
    after: ruleset('iif "lo" accept', 'drop'),
    lost: [],
  },
  {
    name: 'one of two equal rules',
    now: ruleset('counter', 'counter'),
    after: ruleset('counter'),
    lost: [`${input}: counter`],
  },
  {
    name: 'a rule that stands in another chain only',
    now: ruleset('drop'),
    after: 'table inet filter {\n\tchain forward {\n\t\tdrop\n\t}\n}\n',
    lost: [input, `${input}: drop`],
  },
  { name: 'a table', now: 'table ip nat {\n}\n', after: '', lost: ['table ip nat'] },
  { name: 'no element of a set', now: set('192.0.2.1'), after: set('192.0.2.2'), lost: [] },
  { name: 'no comment of nft', now: '# Warning: managed by iptables-nft\n', after: '', lost: [] },
])('a ruleset loses $name', ({ now, after, lost }) => {
  expect(lostLines(now, after)).toEqual(lost);
});
