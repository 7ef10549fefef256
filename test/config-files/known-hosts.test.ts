import { createHmac } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { edit, findKeys, undo } from '../../src/config-files/known-hosts.ts';
import { refusalOf, testLaws } from './generated-texts.ts';

const ed = { type: 'ssh-ed25519', base64: 'AAAAC3NzaC1lZDI1NTE5AAAAIA==' };
const rsa = { type: 'ssh-rsa', base64: 'AAAAB3NzaC1yc2EAAAADAQAB' };
const otherEd = { type: 'ssh-ed25519', base64: 'AAAAC3NzaC1lZDI1NTE5AAAAIB==' };
const names = ['cms2.example.com', '10.0.0.2'];
const ourLine = `cms2.example.com,10.0.0.2 ${ed.type} ${ed.base64} cmsadm`;

const hashed = (name: string): string => {
  const salt = Buffer.from('twenty bytes of salt');
  return `|1|${salt.toString('base64')}|${createHmac('sha1', salt).update(name).digest('base64')}`;
};

describe('the keys of a name', () => {
  test.each([
    { hosts: 'cms2', name: 'cms2', found: true },
    { hosts: 'CMS2', name: 'cms2', found: true },
    { hosts: 'cms1,cms2,10.0.0.2', name: '10.0.0.2', found: true },
    { hosts: 'cms22', name: 'cms2', found: false },
    { hosts: 'cms?', name: 'cms2', found: true },
    { hosts: '*.example.com', name: 'a.b.example.com', found: true },
    { hosts: '*.example.com', name: 'a.examplexcom', found: false },
    { hosts: '*.example.com,!cms2.example.com', name: 'cms2.example.com', found: false },
    { hosts: '!cms2', name: 'cms1', found: false },
    { hosts: '*', name: 'cms2', found: true },
    { hosts: '[cms2]:2222', name: '[cms2]:2222', found: true },
    { hosts: '[cms2]:2222', name: 'cms2', found: false },
    { hosts: '[cms?]:*', name: '[cms2]:2222', found: true },
    { hosts: hashed('cms2'), name: 'CMS2', found: true },
    { hosts: hashed('[cms2]:2222'), name: '[cms2]:2222', found: true },
    { hosts: hashed('cms1'), name: 'cms2', found: false },
    { hosts: '|1|broken', name: 'cms2', found: false },
    { hosts: '|2|a|b', name: 'cms2', found: false },
  ])('$hosts pins $name: $found', ({ hosts, name, found }) => {
    const line = ` ${hosts}\t${ed.type}  ${ed.base64} root@cms2\r\n`;
    expect(findKeys(line, name)).toEqual({ keys: found ? [ed] : [], revoked: [] });
    expect(findKeys(`@revoked ${line}`, name)).toEqual({ keys: [], revoked: found ? [ed] : [] });
    expect(findKeys(`@cert-authority ${line}`, name)).toEqual({ keys: [], revoked: [] });
  });

  test.each([
    'cms2 1024 35 1234567890',
    '@revoked @cert-authority cms2 ssh-ed25519 AAAA',
    '#cms2 ssh-ed25519 AAAA',
    'cms2 ssh-ed25519',
    'cms2 ssh-ed25519 not/base64!',
    '@unknown cms2 ssh-ed25519 AAAA',
  ])('a line that ssh would skip holds none: %s', (line) => {
    expect(findKeys(`${line}\n`, 'cms2')).toEqual({ keys: [], revoked: [] });
  });
});

describe('pinning a key', () => {
  test.each([
    { name: 'adds one line for all names', before: '', after: `${ourLine}\n` },
    { name: 'keeps a line that pins it', before: `${names.join(',')} ${ed.type} ${ed.base64}\n`, after: undefined },
    {
      name: 'keeps several lines that pin it together, hashed ones too',
      before: `${hashed('cms2.example.com')} ${ed.type} ${ed.base64}\r\n10.0.0.2 ${ed.type} ${ed.base64} # x`,
      after: undefined,
    },
    {
      name: 'adds the line where a name is missing',
      before: `cms2.example.com ${ed.type} ${ed.base64}`,
      after: `cms2.example.com ${ed.type} ${ed.base64}\n${ourLine}`,
    },
    {
      name: 'does not mind a key of another type or of another host',
      before: `cms2.example.com ${rsa.type} ${rsa.base64}\ncms3 ${otherEd.type} ${otherEd.base64}\n`,
      after: `cms2.example.com ${rsa.type} ${rsa.base64}\ncms3 ${otherEd.type} ${otherEd.base64}\n${ourLine}\n`,
    },
    {
      name: 'does not mind another revoked key',
      before: `@revoked * ${otherEd.type} ${otherEd.base64}\n`,
      after: `@revoked * ${otherEd.type} ${otherEd.base64}\n${ourLine}\n`,
    },
  ])('$name', ({ before, after }) => {
    const edited = edit(before, { names, keys: [ed] });
    expect(edited).toBe(after ?? before);
    expect(undo(edited)).toBe(before);
  });

  test('adds one line for each key', () => {
    expect(
      edit('', { names, keys: [ed, rsa] })
        .trimEnd()
        .split('\n'),
    ).toHaveLength(2);
  });

  test('is undone after ssh-keygen hashed the names', () => {
    expect(undo(`a ssh-rsa AAAA\n${hashed('cms2')} ${ed.type} ${ed.base64} cmsadm\n`)).toBe('a ssh-rsa AAAA\n');
  });

  test.each([
    {
      name: 'a changed key',
      text: `10.0.0.2 ${otherEd.type} ${otherEd.base64}\n`,
      details: ['10.0.0.2: another ssh-ed25519 key is pinned.'],
      code: 'host-key-changed',
    },
    {
      name: 'a changed key behind a hash',
      text: `${hashed('10.0.0.2')} ${otherEd.type} ${otherEd.base64}\n`,
      details: ['10.0.0.2: another ssh-ed25519 key is pinned.'],
      code: 'host-key-changed',
    },
    {
      name: 'a revoked key',
      text: `${names[0]} ${ed.type} ${ed.base64}\n@revoked *.example.com ${ed.type} ${ed.base64}\n`,
      details: ['cms2.example.com: its key stands on a @revoked line.'],
      code: 'host-key-revoked',
    },
  ])('refuses $name', ({ text, code, details }) => {
    expect(refusalOf(() => edit(text, { names, keys: [ed] }))).toEqual({ code, details });
  });
});

testLaws('known_hosts', [
  'a,b ssh-rsa AAAA',
  '@revoked * ssh-rsa AAAA c d',
  `cms2.pair.example,192.0.2.12 ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAI${'A'.repeat(43)}`,
  '192.0.2.12 ssh-ed25519 AAAA',
  `${hashed('192.0.2.12')} ecdsa-sha2-nistp256 AAAA`,
  'cms2 1024 35 123',
]);
