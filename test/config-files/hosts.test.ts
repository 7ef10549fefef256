import { describe, expect, test } from 'vitest';
import { edit, findContradictions, parse, undo } from '../../src/config-files/hosts.ts';
import type { Server } from '../../src/config-files/server.ts';
import { refusalOf, testLaws, withoutDigests } from './generated-texts.ts';

const own: Server = { address: '10.0.0.1', fqdn: 'cms1.example.com', hostname: 'cms1' };
const peer: Server = { address: '10.0.0.2', fqdn: 'cms2.example.com', hostname: 'cms2' };
const servers: [Server, Server] = [own, peer];
const right1 = '10.0.0.1 cms1.example.com cms1\n';
const right2 = '10.0.0.2 cms2.example.com cms2\n';

describe('entries are read as the resolver reads them', () => {
  test.each([
    { text: '10.1.1.1 a', names: ['a'] },
    { text: ' \t10.1.1.1\ta  b\t# both', names: ['a', 'b'] },
    { text: '10.1.1.1 \xe0\xa0 b', names: ['\xe0\xa0', 'b'] },
    { text: '::1 a%b', names: ['a%b'] },
    { text: 'fe80::1%eth0 a', names: ['a'] },
    { text: '10.1.1.1', names: undefined },
    { text: '10.1.1.1 # a', names: undefined },
    { text: 'abc def', names: undefined },
    { text: '010.1.1.1 a', names: undefined },
    { text: '\xef\xbb\xbf10.1.1.1 a', names: undefined },
    { text: '[host]', names: undefined },
    { text: '~', names: undefined },
  ])('$text', ({ text, names }) => {
    expect(parse(text)[0]?.entry?.names).toEqual(names);
  });
});

describe('both servers get their line', () => {
  test.each([
    {
      name: 'an empty file',
      before: '',
      after: '10.0.0.1 cms1.example.com cms1 # cmsadm\n10.0.0.2 cms2.example.com cms2 # cmsadm\n',
    },
    { name: 'right lines stay untouched', before: right1 + right2, after: right1 + right2 },
    {
      name: 'right lines in other spacing, case and with aliases stay too',
      before: '\t10.0.0.2\tCMS2.example.com  cms2 db2 # second\n10.0.0.1 cms1.example.com CMS1',
      after: '\t10.0.0.2\tCMS2.example.com  cms2 db2 # second\n10.0.0.1 cms1.example.com CMS1',
    },
    {
      name: 'no final newline stays no final newline',
      before: right1.trimEnd(),
      after: `${right1}10.0.0.2 cms2.example.com cms2 # cmsadm`,
    },
    {
      name: 'CRLF stays CRLF',
      before: '127.0.0.1 localhost\r\n10.0.0.1 cms1.example.com cms1\r\n',
      after: '127.0.0.1 localhost\r\n10.0.0.1 cms1.example.com cms1\r\n10.0.0.2 cms2.example.com cms2 # cmsadm\r\n',
    },
    {
      name: 'the order address hostname FQDN is corrected in place, aliases and comment kept',
      before: `10.0.0.1 cms1 cms1.example.com db1 # first\n${right2}`,
      after: `#cmsadm was# 10.0.0.1 cms1 cms1.example.com db1 # first\n10.0.0.1 cms1.example.com cms1 db1 # first # cmsadm\n${right2}`,
    },
    {
      name: 'a second line for the same server gives way, its other names stay',
      before: `10.0.0.1 cms1 old1\n${right1}${right2}`,
      after: `#cmsadm was# 10.0.0.1 cms1 old1\n10.0.0.1 old1 # cmsadm\n${right1}${right2}`,
    },
    {
      name: 'two wrong lines become one, with each alias once',
      before: `10.0.0.1 cms1 db1\n10.0.0.1 cms1 DB1 db2\n${right2}`,
      after: `#cmsadm was# 10.0.0.1 cms1 db1\n10.0.0.1 cms1.example.com cms1 db1 db2 # cmsadm\n#cmsadm was# 10.0.0.1 cms1 DB1 db2\n${right2}`,
    },
    {
      name: 'the same line twice is one line',
      before: right1 + right1 + right2,
      after: `${right1}#cmsadm was# ${right1}${right2}`,
    },
    {
      name: 'a line with only other names for the address stays',
      before: `${right1}10.0.0.1 www.example.com www\n${right2}`,
      after: `${right1}10.0.0.1 www.example.com www\n${right2}`,
    },
    {
      name: "Debian's own-name line gives way",
      before: `127.0.0.1\tlocalhost\n127.0.1.1\tcms1.example.com\tcms1\n${right1}${right2}`,
      after: `127.0.0.1\tlocalhost\n#cmsadm was# 127.0.1.1\tcms1.example.com\tcms1\n${right1}${right2}`,
    },
    {
      name: 'the own name leaves the localhost line, its other names stay',
      before: `127.0.0.1 cms1 localhost # lo\n::1 localhost cms1.example.com\n${right1}${right2}`,
      after: `#cmsadm was# 127.0.0.1 cms1 localhost # lo\n127.0.0.1 localhost # lo # cmsadm\n#cmsadm was# ::1 localhost cms1.example.com\n::1 localhost # cmsadm\n${right1}${right2}`,
    },
    {
      name: 'a line of the other address family stays',
      before: `2001:db8::1 cms1.example.com cms1\n${right1}${right2}`,
      after: `2001:db8::1 cms1.example.com cms1\n${right1}${right2}`,
    },
    {
      name: 'garbage, blank lines, white space and indented comments stay',
      before: `\n \t\n \t#\tindented \t\n~\n[x]\n10.9.9.9\n${right1}${right2}`,
      after: `\n \t\n \t#\tindented \t\n~\n[x]\n10.9.9.9\n${right1}${right2}`,
    },
  ])('$name', ({ before, after }) => {
    expect(withoutDigests(edit(before, { own, servers }))).toBe(after);
    expect(undo(edit(before, { own, servers }))).toBe(before);
  });

  test('IPv6 addresses are the same by value', () => {
    const six: [Server, Server] = [{ ...own, address: '2001:db8::1' }, peer];
    const before = `2001:DB8:0::0001 cms1.example.com cms1\n${right2}`;
    expect(edit(before, { own: six[0], servers: six })).toBe(before);
  });

  test('the file is the same whichever server it is edited for, but for the loopback line', () => {
    expect(edit('', { own: peer, servers })).toBe(edit('', { own, servers }));
  });

  test('addresses on loopback, as in a rehearsal, are addresses like others', () => {
    const local: [Server, Server] = [
      { ...own, address: '127.0.0.1' },
      { ...peer, address: '127.0.0.2' },
    ];
    const before = '127.0.0.1 cms1.example.com cms1 localhost\n127.0.0.2 cms2.example.com cms2\n';
    expect(edit(before, { own: local[0], servers: local })).toBe(before);
  });

  test('other values replace our lines', () => {
    const moved: [Server, Server] = [own, { ...peer, address: '10.0.0.9' }];
    const once = edit(`127.0.1.1 cms1\n`, { own, servers });
    expect(edit(once, { own, servers: moved })).toBe(edit(`127.0.1.1 cms1\n`, { own, servers: moved }));
  });

  test('an alias that the administrator adds to our line is his line then', () => {
    const changed = edit('', { own, servers }).replace('cms2.example.com cms2', 'cms2.example.com cms2 db2');
    expect(undo(changed)).toBe('10.0.0.2 cms2.example.com cms2 db2\n');
    expect(withoutDigests(edit(changed, { own, servers }))).toContain('10.0.0.2 cms2.example.com cms2 db2\n');
  });
});

describe('contradictions stop the edit', () => {
  test.each([
    {
      name: 'a server has another address',
      text: '10.0.0.7 cms2.example.com cms2\n',
      says: ['cms2.example.com has the address 10.0.0.7, not 10.0.0.2.'],
    },
    {
      name: 'the hostname in other case is on another address',
      text: '10.0.0.7 CMS1\n',
      says: ['CMS1 has the address 10.0.0.7, not 10.0.0.1.'],
    },
    {
      name: 'a server has the address of the other',
      text: '10.0.0.1 cms1.example.com cms1 cms2\n',
      says: ['cms2 has the address 10.0.0.1, not 10.0.0.2.'],
    },
    {
      name: 'the address belongs to another host',
      text: '10.0.0.2 old.example.com old\n',
      says: ['10.0.0.2 has the names old.example.com old, not cms2.example.com cms2.'],
    },
    {
      name: "the other server's name is on loopback",
      text: '127.0.1.1 cms2\n',
      says: ['cms2 has the address 127.0.1.1, not 10.0.0.2.'],
    },
  ])('$name', ({ text, says }) => {
    expect(refusalOf(() => edit(text, { own, servers }))).toEqual({ code: 'hosts-contradiction', details: says });
  });

  test('without knowing the own server a loopback line is none', () => {
    expect(findContradictions('127.0.1.1 cms2\n127.0.1.1 cms1\n', servers)).toEqual([]);
  });
});

testLaws('hosts', [
  '127.0.0.1\tlocalhost',
  '127.0.1.1\tcms1.pair.example cms1',
  '127.0.0.1 cms1 localhost # lo',
  '192.0.2.11 cms1 cms1.pair.example db # first',
  '192.0.2.11 cms1.pair.example cms1 db',
  '192.0.2.12\tcms2.pair.example\tcms2',
  ' 192.0.2.12 cms2',
  '2001:DB8::12 cms3 x',
  '192.0.2.77 cms2',
]);
