import { generateKeyPairSync, randomBytes } from 'node:crypto';
import type { PublicKey } from './ssh-client.ts';

/**
 * Makes an ed25519 key pair.
 * @returns an OpenSSH private key file without passphrase (openssh PROTOCOL.key), the public key, and its .pub line
 */
export function makeKeyPair(comment: string): { privateKey: string; publicKey: PublicKey; publicLine: string } {
  // Not as objects of keys: in Node 20 the garbage collector waits for ever for itself when it runs while one is exported.
  const pair = generateKeyPairSync('ed25519', {
    publicKeyEncoding: { type: 'spki', format: 'der' },
    privateKeyEncoding: { type: 'pkcs8', format: 'der' },
  });
  // The key itself stands last in both (RFC 8410, 4 and 7).
  const pub = pair.publicKey.subarray(-32);
  const seed = pair.privateKey.subarray(-32);
  const field = (data: Buffer | string): Buffer => {
    const bytes = Buffer.from(data);
    const length = Buffer.alloc(4);
    length.writeUInt32BE(bytes.length);
    return Buffer.concat([length, bytes]);
  };
  const blob = Buffer.concat([field('ssh-ed25519'), field(pub)]);
  const check = randomBytes(4);
  const inner = Buffer.concat([
    check,
    check,
    field('ssh-ed25519'),
    field(pub),
    field(Buffer.concat([seed, pub])),
    field(comment),
  ]);
  const padding = Buffer.from(Array.from({ length: (8 - (inner.length % 8)) % 8 }, (_, i) => i + 1));
  const one = Buffer.from([0, 0, 0, 1]);
  const whole = Buffer.concat([
    Buffer.from('openssh-key-v1\0'),
    field('none'),
    field('none'),
    field(''),
    one,
    field(blob),
    field(Buffer.concat([inner, padding])),
  ]);
  const lines = whole.toString('base64').match(/.{1,70}/g) ?? [];
  const publicKey = { type: 'ssh-ed25519', base64: blob.toString('base64') };
  return {
    privateKey: `-----BEGIN OPENSSH PRIVATE KEY-----\n${lines.join('\n')}\n-----END OPENSSH PRIVATE KEY-----\n`,
    publicKey,
    publicLine: `${publicKey.type} ${publicKey.base64} ${comment}\n`,
  };
}
