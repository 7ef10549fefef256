import { describe, expect, test } from 'vitest';
import {
  edit,
  includesDropIns,
  parse,
  renderDropIn,
  undo,
  type WantedSshd,
} from '../../src/config-files/sshd-config.ts';
import { testLaws, withoutDigests } from './generated-texts.ts';

const wanted: WantedSshd = {
  address: '10.0.0.2',
  settings: [
    ['PermitRootLogin', 'forced-commands-only'],
    ['AllowUsers', 'root'],
  ],
};
const block = [
  '# cmsadm begin',
  'Match User root Address 10.0.0.2',
  '    PermitRootLogin forced-commands-only',
  '    AllowUsers root',
  'Match all',
  '# cmsadm end',
].join('\n');

describe('keywords are read as sshd reads them', () => {
  test.each([
    { text: 'Port 22', keyword: 'port', values: ['22'] },
    { text: '  ciPheRs  a,b', keyword: 'ciphers', values: ['a,b'] },
    { text: 'Port=22', keyword: 'port', values: ['22'] },
    { text: 'Port = 22 # c', keyword: 'port', values: ['22'] },
    { text: 'Match Group "Domain users"', keyword: 'match', values: ['Group', 'Domain users'] },
    { text: '"Match" all', keyword: 'match', values: ['all'] },
    { text: '# Port 22', keyword: '', values: [] },
    { text: '{% if %}', keyword: '', values: [] },
  ])('$text', ({ text, keyword, values }) => {
    const [line] = parse(text);
    if (keyword === '') expect(line?.keyword).toBe('');
    else expect([line?.keyword, line?.values]).toEqual([keyword, values]);
  });
});

describe('the block', () => {
  test.each([
    { name: 'is the whole of an empty file', before: '', after: `${block}\n` },
    {
      name: 'goes to the end of a file without Match',
      before: 'Port 22\nUsePAM yes',
      after: `Port 22\nUsePAM yes\n${block}`,
    },
    ...['Match User git', '  \tmatch all', 'maTcH User a Host b # c', 'Match=User x', 'Match Host=f'].map((line) => ({
      name: `stands before ${JSON.stringify(line)}`,
      before: `Port 22\n# for git\n${line}\n  X11Forwarding no\nMatch Group "a b"\n`,
      after: `Port 22\n# for git\n${block}\n${line}\n  X11Forwarding no\nMatch Group "a b"\n`,
    })),
    {
      name: 'is not misled by a comment or a longer keyword',
      before: '#Match User x\nMatchless yes\nPort 22\n',
      after: `#Match User x\nMatchless yes\nPort 22\n${block}\n`,
    },
    {
      name: 'takes the line end of its place',
      before: 'Port 22\r\nMatch all\r\n',
      after: `Port 22\r\n${block.replaceAll('\n', '\r\n')}\r\nMatch all\r\n`,
    },
  ])('$name', ({ before, after }) => {
    const edited = edit(before, wanted);
    expect(withoutDigests(edited)).toBe(after);
    expect(undo(edited)).toBe(before);
  });

  test('is not needed without settings, and an old one goes', () => {
    expect(edit('Port 22\n', { ...wanted, settings: [] })).toBe('Port 22\n');
    expect(edit(edit('Port 22\n', wanted), { ...wanted, settings: [] })).toBe('Port 22\n');
  });

  test('leaves the global part open for lines that are appended later', () => {
    const appended = parse(`${edit('Port 22\n', wanted)}PasswordAuthentication no\n`);
    const lastMatch = appended.findLast(({ keyword }) => keyword === 'match');
    expect(lastMatch?.values).toEqual(['all']);
  });

  test('leaves its Match lines with a directive that the administrator wrote into it', () => {
    const changed = edit('Port 22\n', wanted).replace('Match all', '    X11Forwarding no\nMatch all');
    expect(undo(changed)).toBe('Port 22\nMatch User root Address 10.0.0.2\n    X11Forwarding no\nMatch all\n');
  });

  test('gives up nothing but itself for a comment that was written into it', () => {
    const changed = edit('Port 22\n', wanted).replace('Match all', '# why\nMatch all');
    expect(undo(changed)).toBe('Port 22\n# why\n');
  });

  test('is the content of a drop-in too', () => {
    expect(withoutDigests(renderDropIn(wanted))).toBe(`${block}\n`);
  });
});

describe('drop-ins are read', () => {
  const folder = '/etc/ssh/sshd_config.d';
  test.each([
    { text: 'Include /etc/ssh/sshd_config.d/*.conf\n', expected: true },
    { text: 'Port 22\n  include sshd_config.d/*.conf', expected: true },
    { text: 'Include "/etc/ssh/sshd_config.d/*.conf" # c\r\n', expected: true },
    { text: 'Include=/a/b /etc/ssh//sshd_config.d/*\n', expected: true },
    { text: '#Include /etc/ssh/sshd_config.d/*.conf\n', expected: false },
    { text: 'Include /etc/ssh/sshd_config.d/a.conf\n', expected: false },
    { text: 'Include /etc/other.d/*.conf\n', expected: false },
    { text: 'Match all\nInclude /etc/ssh/sshd_config.d/*.conf\n', expected: false },
    { text: 'Port 22 # Include /etc/ssh/sshd_config.d/*.conf\n', expected: false },
  ])('$text: $expected', ({ text, expected }) => {
    expect(includesDropIns(text, folder)).toBe(expected);
  });
});

testLaws('sshd_config', [
  'Port 22',
  'Match User git',
  '  maTCH all # c',
  'Match=Host z',
  '    X11Forwarding no',
  'Include /etc/ssh/sshd_config.d/*.conf',
  'Subsystem sftp internal-sftp',
]);
