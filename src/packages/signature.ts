/** Detached Ed25519 signatures (RFC 8032) over the exact bytes of a file, and the keys that are trusted to make them. */
import { createHash, createPrivateKey, createPublicKey, type KeyObject, sign as signBytes, verify } from 'node:crypto';
import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';

/** `publicKey` is PEM text; `name` says whose it is. */
export type TrustedKey = { readonly name: string; readonly publicKey: string };

/** `signature` is base64. */
export type Signature = { readonly keyId: string; readonly signature: string };

const signatureSchema = v.object({
  keyId: v.pipe(v.string(), v.regex(/^[0-9a-f]{16}$/u)),
  signature: v.pipe(v.string(), v.regex(/^[A-Za-z0-9+/]{86}==$/u)),
});
const unusable = 'Fetch the file again from where it was published; do not use this one.';

/** A signature file's text → the signature. Throws 'signature-invalid'. */
export function parseSignature(text: string): Signature {
  const found = v.safeParse(v.pipe(v.string(), v.parseJson(), signatureSchema), text);
  if (found.success) return found.output;
  throw new CmsadmError('signature-invalid', 'The signature cannot be read.', { remedy: unusable });
}

/**
 * The trusted key that signed `data`.
 * Throws 'signer-unknown' (no trusted key has that id), 'signature-invalid', 'trusted-key-unusable'.
 */
export function verifySignature(data: Buffer, signature: Signature, keys: readonly TrustedKey[]): TrustedKey {
  const key = keys.find(({ name, publicKey }) => idOf(readPublicKey(publicKey, name)) === signature.keyId);
  if (key === undefined) throw unknownSigner(signature.keyId, keys);
  const bytes = Buffer.from(signature.signature, 'base64');
  if (verify(null, data, readPublicKey(key.publicKey, key.name), bytes)) return key;
  throw new CmsadmError('signature-invalid', `The signature is not by the key of ${key.name}, though it says so.`, {
    remedy: unusable,
  });
}

/** Signs `data` with an Ed25519 private key in PEM. Throws 'signing-key-unusable'. */
export function sign(data: Buffer, privateKeyPem: string): Signature {
  const key = readPrivateKey(privateKeyPem);
  return { keyId: idOf(createPublicKey(key)), signature: signBytes(null, data, key).toString('base64') };
}

/** The first 16 hexadecimal digits of the SHA-256 of the public key (DER, SubjectPublicKeyInfo, RFC 8410). */
export function keyIdOf(publicKeyPem: string): string {
  return idOf(readPublicKey(publicKeyPem, 'the caller'));
}

function idOf(key: KeyObject): string {
  return createHash('sha256')
    .update(key.export({ type: 'spki', format: 'der' }))
    .digest('hex')
    .slice(0, 16);
}

function readPublicKey(pem: string, name: string): KeyObject {
  const key = attempt(() => createPublicKey(pem));
  if (key?.asymmetricKeyType === 'ed25519') return key;
  throw new CmsadmError('trusted-key-unusable', `The trusted key of ${name} is not an Ed25519 public key in PEM.`, {
    remedy: 'Correct the key in the trust list of the profile, or take it out.',
  });
}

function readPrivateKey(pem: string): KeyObject {
  const key = attempt(() => createPrivateKey(pem));
  if (key?.asymmetricKeyType === 'ed25519') return key;
  // No cause: what the parser says could quote the key.
  throw new CmsadmError('signing-key-unusable', 'The signing key is not an unencrypted Ed25519 private key in PEM.', {
    remedy: 'Make one with: openssl genpkey -algorithm ed25519 -out KEY.pem',
  });
}

function attempt(read: () => KeyObject): KeyObject | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

function unknownSigner(keyId: string, keys: readonly TrustedKey[]): CmsadmError {
  const trusted = keys.map(({ name, publicKey }) => `Trusted: ${name} (${keyIdOf(publicKey)})`);
  const message =
    keys.length === 0
      ? `Signed with the key ${keyId}, but no key is trusted on this server.`
      : `Signed with the key ${keyId}, which is not trusted on this server.`;
  return new CmsadmError('signer-unknown', message, {
    details: trusted,
    remedy: 'If you trust the signer, add its public key to the trust list of a site profile in /etc/cmsadm/profiles.',
  });
}
