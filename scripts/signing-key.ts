// The key that packages and licences are signed with: the releaser's, or the public test key.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const testKey = fileURLToPath(new URL('../fixtures/keys/test-signing.pem', import.meta.url));

/** The private key's PEM text. Without a file the test key is taken, and said aloud. */
export function readSigningKey(file: string | undefined): string {
  if (file !== undefined) return readFileSync(file, 'utf8');
  console.error('*** Signed with the TEST key of fixtures/keys, whose private half is public.');
  console.error('*** No shipped profile trusts it. Do not hand this file out.');
  return readFileSync(testKey, 'utf8');
}
