import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import ssh2 from 'ssh2';
import { expect, test } from 'vitest';
import { makeKeyPair } from '../../src/host/pair-key.ts';
import { fingerprint } from '../../src/host/ssh-client.ts';
import { tempFolder } from '../packages/temp-folder.ts';

const folder = tempFolder();
// Not a dependency: where it is missing, ssh2 alone judges.
const sshKeygen = 'ssh-keygen';
const hasKeygen = spawnSync(sshKeygen, ['-?']).error === undefined;

// Comments of several lengths move the padding at the end of the file through all its lengths.
const comments = ['', 'a', 'ab', 'abc', 'abcd', 'abcde', 'abcdef', 'abcdefg', 'cmsadm-pair'];

test.each(comments)('ssh2 reads the private key with the comment "%s", and it fits the public one', (comment) => {
  const { privateKey, publicKey, publicLine } = makeKeyPair(comment);
  const parsed = ssh2.utils.parseKey(privateKey);
  if (parsed instanceof Error) throw parsed;
  expect(parsed.type).toBe('ssh-ed25519');
  expect(parsed.getPublicSSH().toString('base64')).toBe(publicKey.base64);
  expect(publicLine).toBe(`ssh-ed25519 ${publicKey.base64} ${comment}\n`);
});

test.skipIf(!hasKeygen).each(comments)('ssh-keygen accepts the private key with the comment "%s"', (comment) => {
  const { privateKey, publicKey, publicLine } = makeKeyPair(comment);
  const file = join(folder, `key-${comment.length}`);
  writeFileSync(file, privateKey, { mode: 0o600 });
  writeFileSync(`${file}.pub`, publicLine);
  const keygen = (...args: string[]): string => execFileSync(sshKeygen, args, { encoding: 'utf8' });
  expect(keygen('-y', '-P', '', '-f', file).split(/\s/).slice(0, 2)).toEqual(['ssh-ed25519', publicKey.base64]);
  expect(keygen('-l', '-f', file)).toContain(fingerprint(publicKey));
});

test('no two pairs are the same', () => {
  expect(makeKeyPair('a').publicLine).not.toBe(makeKeyPair('a').publicLine);
});
