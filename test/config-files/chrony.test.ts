import { describe, expect, test } from 'vitest';
import { edit, parse, undo } from '../../src/config-files/chrony.ts';
import { testLaws, withoutDigests } from './generated-texts.ts';

const block = (address: string): string => `# cmsadm begin\nserver ${address} iburst\n# cmsadm end`;

describe('the time server', () => {
  test.each([
    { name: 'is added to an empty file', before: '', after: `${block('10.0.0.9')}\n` },
    {
      name: 'is added behind other sources and directives',
      before: 'pool 2.debian.pool.ntp.org iburst\n\tmakestep 1 3\n',
      after: `pool 2.debian.pool.ntp.org iburst\n\tmakestep 1 3\n${block('10.0.0.9')}\n`,
    },
    {
      name: 'is added without a final newline where there was none',
      before: 'rtcsync',
      after: `rtcsync\n${block('10.0.0.9')}`,
    },
    {
      name: 'stays as a server with other options',
      before: 'server 10.0.0.9 prefer nts\n',
      after: 'server 10.0.0.9 prefer nts\n',
    },
    { name: 'stays as a peer, in any case', before: '  PEER 10.0.0.9\r\n', after: '  PEER 10.0.0.9\r\n' },
    ...['#', '!', ';', '%'].map((sign) => ({
      name: `is not there in a comment that begins with ${sign}`,
      before: `${sign}server 10.0.0.9\n`,
      after: `${sign}server 10.0.0.9\n${block('10.0.0.9')}\n`,
    })),
    {
      name: 'is not there as the beginning of another address',
      before: 'server 10.0.0.90\n',
      after: `server 10.0.0.90\n${block('10.0.0.9')}\n`,
    },
  ])('$name', ({ before, after }) => {
    const edited = edit(before, { server: '10.0.0.9' });
    expect(withoutDigests(edited)).toBe(after);
    expect(undo(edited)).toBe(before);
  });

  test('is the same by value in IPv6', () => {
    expect(edit('server 2001:DB8:0:0::7\n', { server: '2001:db8::7' })).toBe('server 2001:DB8:0:0::7\n');
  });

  test('that the administrator changed in our block stays his', () => {
    const changed = edit('', { server: '10.0.0.9' }).replace('iburst', 'iburst prefer');
    expect(undo(changed)).toBe('server 10.0.0.9 iburst prefer\n');
    expect(edit(changed, { server: '10.0.0.9' })).toBe('server 10.0.0.9 iburst prefer\n');
  });

  test('never stands before a trailing comment, which chronyd refuses', () => {
    expect(edit('', { server: '10.0.0.9' })).not.toMatch(/^server.*#/m);
  });
});

test.each([
  { line: '\tServer a  iburst', words: ['Server', 'a', 'iburst'] },
  { line: '  %server a', words: [] },
  { line: '; server a', words: [] },
  { line: '', words: [] },
])('the words of $line', ({ line, words }) => {
  expect(parse(`${line}\r\n`)[0]?.words).toEqual(words);
});

testLaws('chrony', [
  'server 192.0.2.20 iburst',
  ' SERVER 2001:DB8:0::20 prefer',
  'pool 2.debian.pool.ntp.org iburst',
  '! comment',
  '\tallow all 10.0.0.0/8',
  'makestep 1 -1',
]);
