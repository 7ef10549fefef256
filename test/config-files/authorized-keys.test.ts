import { describe, expect, test } from 'vitest';
import { edit, entries, undo, type WantedAuthorizedKey } from '../../src/config-files/authorized-keys.ts';
import { refusalOf, testLaws } from './generated-texts.ts';

const wanted: WantedAuthorizedKey = {
  key: { type: 'ssh-ed25519', base64: 'AAAAC3NzaC1lZDI1NTE5AAAAIP' },
  from: ['10.0.0.2', '2001:db8::2'],
  command: '/usr/local/sbin/cmsadm peer "cms2"',
  comment: 'cmsadm pair key of cms2.example.com',
};
const ourLine =
  'restrict,from="10.0.0.2,2001:db8::2",command="/usr/local/sbin/cmsadm peer \\"cms2\\"" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIP cmsadm pair key of cms2.example.com';

describe('a line is read as sshd reads it', () => {
  test.each([
    { line: 'ssh-rsa AAAA', options: [], comment: '' },
    { line: '  ssh-ed25519\tAAAA=  ann on laptop', options: [], comment: 'ann on laptop' },
    {
      line: 'no-pty,Restrict ecdsa-sha2-nistp256 AAAA c',
      options: [{ name: 'no-pty' }, { name: 'Restrict' }],
      comment: 'c',
    },
    {
      line: 'from="example.com,10.1.1.0/16",environment="LANG=C x" ssh-rsa AAAA',
      options: [
        { name: 'from', value: 'example.com,10.1.1.0/16' },
        { name: 'environment', value: 'LANG=C x' },
      ],
      comment: '',
    },
    {
      line: `command="echo 'login as \\"user\\"; exit'",idle-timeout=5m sk-ssh-ed25519@openssh.com AAAA`,
      options: [
        { name: 'command', value: `echo 'login as \\"user\\"; exit'` },
        { name: 'idle-timeout', value: '5m' },
      ],
      comment: '',
    },
    {
      line: 'permitopen="a:1",permitopen="b:2" ssh-dss AAAA',
      options: [
        { name: 'permitopen', value: 'a:1' },
        { name: 'permitopen', value: 'b:2' },
      ],
      comment: '',
    },
  ])('$line', ({ line, options, comment }) => {
    expect(entries(`${line}\r\n`)).toMatchObject([{ options, comment }]);
  });

  test.each([
    '',
    '# ssh-rsa AAAA',
    '1024 35 123456',
    'ssh-rsa',
    'command="open ssh-rsa AAAA',
    'a b ssh-rsa AAAA',
    'AAAA',
  ])('and ignored as sshd ignores it: %s', (line) => {
    expect(entries(`${line}\n`)).toEqual([]);
  });

  test('a long line of escaped quotes that never close is read in no time', () => {
    const started = performance.now();
    expect(entries(`command="${'\\"'.repeat(5000)}`)).toEqual([]);
    expect(performance.now() - started).toBeLessThan(1000);
  });
});

describe('our line', () => {
  test.each([
    { name: 'is added to an empty file', before: '', after: `${ourLine}\n` },
    {
      name: 'is added behind the others, which stay byte for byte',
      before: '# mine\n\tssh-rsa AAAA\tann \xff\n\nnonsense\nssh-rsa BBBB',
      after: `# mine\n\tssh-rsa AAAA\tann \xff\n\nnonsense\nssh-rsa BBBB\n${ourLine}`,
    },
  ])('$name', ({ before, after }) => {
    const edited = edit(before, wanted);
    expect(edited).toBe(after);
    expect(undo(edited)).toBe(before);
  });

  test('is read back as it was meant', () => {
    expect(entries(edit('', wanted))[0]?.options.map(({ name }) => name)).toEqual(['restrict', 'from', 'command']);
  });

  test('replaces an older one with another key and other addresses', () => {
    const older = edit('ssh-rsa AAAA\n', { ...wanted, key: { type: 'ssh-rsa', base64: 'CCCC' }, from: ['10.0.0.3'] });
    expect(edit(older, wanted)).toBe(`ssh-rsa AAAA\n${ourLine}\n`);
  });

  test('is no line of the administrator with a like comment', () => {
    const his = 'ssh-rsa AAAA cmsadm\nrestrict,command="x" ssh-rsa BBBB cmsadm\n';
    expect(undo(his)).toBe(his);
  });

  test.each(['', 'restrict ', 'command="x" ', '  '])('is refused beside %j and the same key', (options) => {
    const text = `# a\n${options}ssh-ed25519 ${wanted.key.base64} ann\n`;
    expect(refusalOf(() => edit(text, wanted))).toEqual({ code: 'key-already-authorised', details: ['It is line 2.'] });
  });
});

testLaws('authorized_keys', [
  'ssh-rsa AAAA ann',
  'restrict,command="a \\"b\\"" ssh-ed25519 AAAAB x y',
  'restrict,command="x" ssh-rsa BBBB cmsadm',
  '1024 35 1234',
  'from="open ssh-rsa AAAA',
]);
