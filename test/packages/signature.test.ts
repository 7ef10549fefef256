import { createHash, createPublicKey, generateKeyPairSync } from 'node:crypto';
import { inspect } from 'node:util';
import { describe, expect, it } from 'vitest';
import { keyIdOf, parseSignature, sign, verifySignature } from '../../src/packages/signature.ts';
import { keyPair } from './tiny-package.ts';

const ours = keyPair();
const other = keyPair();
const data = Buffer.from('the very bytes');
const trust = [
  { name: 'other', publicKey: other.publicKey },
  { name: 'ours', publicKey: ours.publicKey },
];

describe('verifySignature', () => {
  it('finds the trusted key that signed', () => {
    expect(verifySignature(data, sign(data, ours.privateKey), trust).name).toBe('ours');
  });

  it('refuses data that was changed after signing', () => {
    const signature = sign(data, ours.privateKey);
    expect(() => verifySignature(Buffer.from('the very byteS'), signature, trust)).toThrowError(
      expect.objectContaining({ code: 'signature-invalid' }),
    );
  });

  it('refuses a signature under the name of another key', () => {
    const { signature } = sign(data, other.privateKey);
    expect(() => verifySignature(data, { keyId: keyIdOf(ours.publicKey), signature }, trust)).toThrowError(
      expect.objectContaining({ code: 'signature-invalid' }),
    );
  });

  it('names the trusted keys when the signer is not among them', () => {
    expect(() => verifySignature(data, sign(data, ours.privateKey), trust.slice(0, 1))).toThrowError(
      expect.objectContaining({ code: 'signer-unknown', details: [`Trusted: other (${keyIdOf(other.publicKey)})`] }),
    );
  });

  it('says where a key belongs when none is trusted', () => {
    expect(() => verifySignature(data, sign(data, ours.privateKey), [])).toThrowError(
      expect.objectContaining({ code: 'signer-unknown', remedy: expect.stringContaining('/etc/cmsadm/profiles') }),
    );
  });

  const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey.export({ type: 'spki', format: 'pem' });
  it.each([
    ['text that is no key', 'no key'],
    ['an RSA key', rsa.toString()],
  ])('names the trust entry that is %s', (_, publicKey) => {
    expect(() => verifySignature(data, sign(data, ours.privateKey), [{ name: 'site', publicKey }])).toThrowError(
      expect.objectContaining({ code: 'trusted-key-unusable', message: expect.stringContaining('site') }),
    );
  });
});

describe('sign', () => {
  it('does not repeat an unusable private key in its error', () => {
    const secret = '-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n';
    expect(() => sign(data, secret)).toThrowError(
      expect.toSatisfy((error) => error.code === 'signing-key-unusable' && !inspect(error).includes('c2VjcmV0')),
    );
  });
});

it('takes the key id from the public key alone', () => {
  const der = createPublicKey(ours.publicKey).export({ type: 'spki', format: 'der' });
  expect(keyIdOf(ours.publicKey)).toBe(createHash('sha256').update(der).digest('hex').slice(0, 16));
  expect(sign(data, ours.privateKey).keyId).toBe(keyIdOf(ours.publicKey));
});

it.each(['', 'null', '{}', '{"keyId":"0123456789abcdef","signature":"!"}', '{"keyId":"0123","signature":""}'])(
  'refuses %j as a signature',
  (text) => {
    expect(() => parseSignature(text)).toThrowError(expect.objectContaining({ code: 'signature-invalid' }));
  },
);
