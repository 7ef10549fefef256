import { mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import {
  checkAddress,
  checkFile,
  checkFingerprint,
  checkFqdn,
  checkPort,
  checkUser,
} from '../../src/commands/checks.ts';
import { CmsadmError } from '../../src/errors.ts';
import { tempFolder } from '../packages/temp-folder.ts';

const folder = tempFolder();
const root = { prefix: folder, ownersCount: false };
mkdirSync(join(folder, 'root/folder'), { recursive: true });
writeFileSync(join(folder, 'root/package.zip'), 'zip');
symlinkSync('nowhere', join(folder, 'root/dangling'));

type Check = (text: string) => string;
/** No answer may get through as it is, or bring its control characters onto the screen. */
function expectRefused(check: Check, text: string): CmsadmError {
  let error: unknown;
  try {
    check(text);
  } catch (caught) {
    error = caught;
  }
  if (!(error instanceof CmsadmError)) throw new Error(`${JSON.stringify(text)} was accepted`);
  expect(error.code).toBe('answer-refused');
  expect(error.remedy).toMatch(/\w/);
  expect([...error.message].filter((c) => c < ' ' || c === '\u007f')).toEqual([]);
  expect(error.message.length).toBeLessThan(200);
  return error;
}

const hostile = [
  '',
  ' ',
  '$(reboot)',
  '`reboot`',
  '; reboot',
  'a"b',
  "a'b",
  'a\nb',
  'a\r\nHost *',
  '-oProxyCommand=reboot',
  '--',
  'a\0b',
  '\u001b]0;title\u0007',
  '../../etc/passwd',
  'é',
  '\u202e192.0.2.1',
  'x'.repeat(5000),
];
const checks: readonly (readonly [string, Check])[] = [
  ['an address', checkAddress],
  ['an FQDN', checkFqdn],
  ['a port', checkPort],
  ['a user', checkUser],
  ['a fingerprint', checkFingerprint],
  ['a path', (text) => checkFile(root, text)],
];
describe.each(checks)('as %s', (_name, check) => {
  test.each(hostile)('%j is refused', (text) => void expectRefused(check, text));
});

describe('addresses', () => {
  test.each([
    ['192.0.2.10', '192.0.2.10'],
    ['10.0.0.1', '10.0.0.1'],
    ['2001:DB8:0:0::10', '2001:db8::10'],
    ['fd00::1', 'fd00::1'],
  ])('%s is %s', (text, address) => void expect(checkAddress(text)).toBe(address));

  test.each([
    { text: 'fe80::1', why: 'link-local' },
    { text: 'fe80::1%eth0', why: 'link-local' },
    { text: 'FE80::1%eth0', why: 'link-local' },
    { text: '169.254.3.4', why: 'link-local' },
    { text: '127.0.0.1', why: 'loopback' },
    { text: '::1', why: 'loopback' },
    { text: '0.0.0.0', why: 'unspecified' },
    { text: '::', why: 'unspecified' },
    { text: '255.255.255.255', why: 'broadcast' },
    { text: '224.0.0.1', why: 'multicast' },
    { text: 'ff02::1', why: 'multicast' },
    { text: '::ffff:192.0.2.1', why: 'ipv4Mapped' },
    { text: '192.0.2', why: 'no IP address' },
    { text: '192.0.2.256', why: 'no IP address' },
    { text: '0xc0.0.2.1', why: 'no IP address' },
    { text: '192.0.02.1', why: 'no IP address' },
    { text: '3221226001', why: 'no IP address' },
    { text: '192.0.2.1/24', why: 'no IP address' },
    { text: '192.0.2.1:22', why: 'no IP address' },
    { text: 'cms2.example.com', why: 'no IP address' },
    { text: 'root@192.0.2.1', why: 'no IP address' },
    { text: '2001:db8::1::2', why: 'no IP address' },
  ])('$text is refused: $why', ({ text, why }) => {
    expect(expectRefused(checkAddress, text).message).toContain(why);
  });

  test('a jump host is refused with the reason', () => {
    expect(expectRefused(checkAddress, 'ops@gate.example.com').remedy).toContain('jump host');
  });
});

describe('names', () => {
  test.each([
    ['cms2.example.com', 'cms2.example.com'],
    ['CMS2.Example.COM', 'cms2.example.com'],
    ['c.d', 'c.d'],
    ['xn--bcher-kva.example', 'xn--bcher-kva.example'],
    ['3com.example.com', '3com.example.com'],
    [`${'a'.repeat(63)}.example.com`, `${'a'.repeat(63)}.example.com`],
  ])('%s is %s', (text, name) => void expect(checkFqdn(text)).toBe(name));

  test.each([
    'cms2',
    'cms2.',
    '.example.com',
    'cms2..example.com',
    '-a.example.com',
    'a-.example.com',
    'a_b.example.com',
    '192.0.2.1',
    `${'a'.repeat(64)}.example.com`,
    `${'abcdefgh.'.repeat(29)}example.com`,
    'cms2.example.com ',
    'cms2.example.com#',
  ])('%s is refused', (text) => void expectRefused(checkFqdn, text));
});

describe('paths', () => {
  test('a readable file is found below the root', () => {
    expect(checkFile(root, '/root/package.zip')).toBe(join(folder, 'root/package.zip'));
  });

  test.each([
    { text: 'root/package.zip', why: 'no full path' },
    { text: './package.zip', why: 'no full path' },
    { text: '~/package.zip', why: 'no full path' },
    { text: '/root/none.zip', why: 'cannot be read' },
    { text: '/root/dangling', why: 'cannot be read' },
    { text: '/root/folder', why: 'is no file' },
    { text: '/root/package.zip/x', why: 'cannot be read' },
    { text: '/root/a\nb', why: 'cannot be read' },
    { text: '/root/\u001b[2J', why: 'cannot be read' },
  ])('$text: $why', ({ text, why }) => {
    expect(expectRefused((path) => checkFile(root, path), text).message).toContain(why);
  });
});

describe('the rest', () => {
  test.each(['1', '22', '65535', '022'])('port %s', (text) => void expect(checkPort(text)).toBe(String(Number(text))));
  test.each(['0', '65536', '-1', '2.2', '1e3', '0x16', '22 '])(
    'no port: %s',
    (text) => void expectRefused(checkPort, text),
  );
  test.each(['root', 'ops', '_apt', 'a-b_c'])('user %s', (text) => void expect(checkUser(text)).toBe(text));
  test.each(['-x', 'a b', 'a@b', 'a'.repeat(33), '0x'])('no user: %s', (text) => void expectRefused(checkUser, text));

  const digest = 'A'.repeat(43);
  test.each([`SHA256:${digest}`, `SHA256:${digest}=`])('fingerprint %s', (text) => {
    expect(checkFingerprint(text)).toBe(`SHA256:${digest}`);
  });
  test.each([`MD5:${'aa:'.repeat(15)}aa`, digest, `sha256:${digest}`, `SHA256:${digest.slice(1)}`])(
    'no fingerprint: %s',
    (text) => void expectRefused(checkFingerprint, text),
  );
});
