import { execFileSync, spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { buildSync } from 'esbuild';
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

// In Node 20 the garbage collector may wait for itself while a key is exported; it is made to come at many places here.
test.each([5, 7, 17, 31, 43, 47])(
  'are made in any number, with garbage collected at each %i. allocation',
  (interval) => {
    const source = `import { makeKeyPair } from ${JSON.stringify(fileURLToPath(new URL('../../src/host/pair-key.ts', import.meta.url)))};
    for (let made = 0; made < 3000; made += 1) makeKeyPair('a');
    process.stdout.write(makeKeyPair('last').publicLine);`;
    const stdin = { contents: source, resolveDir: folder, loader: 'ts' } as const;
    const program = join(folder, `many-${interval}.cjs`);
    buildSync({ stdin, bundle: true, platform: 'node', format: 'cjs', outfile: program });
    const { status, signal, stdout } = spawnSync(process.execPath, [`--gc-interval=${interval}`, program], {
      timeout: 60_000,
      killSignal: 'SIGKILL',
      encoding: 'utf8',
    });
    expect({ status, signal }).toEqual({ status: 0, signal: null });
    expect(stdout).toMatch(/^ssh-ed25519 \S+ last\n$/);
  },
);
