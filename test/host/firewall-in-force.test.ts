import { expect, test } from 'vitest';
import { parseFirewall } from '../../src/host/firewall-in-force.ts';

const said = (...answers: readonly (readonly [text: string, exitCode: number])[]): string =>
  answers.map(([text, exitCode]) => `${text}\0${exitCode}\0`).join('');

test('tells each program’s answer', () => {
  const rules = [
    ['table a {\n}\n', 0],
    ['*filter\n', 0],
  ] as const;
  const zones = [
    ['public\n', 0],
    ['block\n', 0],
  ] as const;
  expect(parseFirewall(said(['active\n', 0], ...rules, ...zones, ['table b {\n}\n', 0]))).toEqual({
    firewalldActive: true,
    nftRuleset: 'table a {\n}\n',
    iptables: '*filter\n',
    firewalld: { now: 'public\n', afterReload: 'block\n' },
    afterReload: 'table b {\n}\n',
  });
});

test('takes nothing from a program that failed, was not there or was not asked', () => {
  expect(parseFirewall(said(['inactive\n', 3], ['half a table', 1], ['', 127]))).toEqual({
    firewalldActive: false,
    nftRuleset: '',
    iptables: '',
  });
  expect(parseFirewall('')).toEqual({ firewalldActive: false, nftRuleset: '', iptables: '' });
  const half = parseFirewall(said(['', 3], ['table a {}', 0], ['', 0], ['public', 0], ['half', 1], ['half', 1]));
  expect(half).not.toHaveProperty('afterReload');
  expect(half).not.toHaveProperty('firewalld');
});
