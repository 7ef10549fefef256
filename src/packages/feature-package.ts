/** Feature packages: a zip with a signed manifest. Everything is checked before anybody gets a byte of it. */
import { CmsadmError } from '../errors.ts';
import { type FeatureManifest, parseFeatureManifest } from './feature-manifest.ts';
import { contentsProblem, namesProblem } from './listed-files.ts';
import { sha256 } from './manifest.ts';
import { openPackage, signerOf } from './package-kind.ts';
import type { TrustedKey } from './signature.ts';
import { openZip, readWhole, type ZipLimits } from './zip.ts';

export type FeaturePackage = {
  readonly manifest: FeatureManifest;
  /** SHA-256 of the whole zip. */
  readonly digest: string;
  readonly bytes: Buffer;
  /** The name of the trusted key that signed it. */
  readonly signer: string;
  /** Bytes of all its files together. */
  readonly size: number;
  /** The content of one of its files. */
  readonly read: (path: string) => Buffer;
};

/** Of a package for a menu's feature. */
const featureLimits: ZipLimits = { maxEntries: 1000, maxTotal: 64 * 1024 * 1024 };

/** Reads a file and opens it. @throws as openFeaturePackage, and 'feature-package-unreadable' */
export async function readFeaturePackage(path: string, keys: readonly TrustedKey[]): Promise<FeaturePackage> {
  return openFeaturePackage(() => readWhole(path, featureLimits), path, keys);
}

/**
 * Opens a feature package: names, kinds and sizes, the signature, the manifest, then every content against it.
 * @param read gives the zip's bytes
 * @param path names it in errors
 * Throws 'feature-package-unreadable', 'feature-package-foreign', 'feature-package-damaged', 'signature-invalid',
 * 'signer-unknown'.
 */
export async function openFeaturePackage(
  read: () => Promise<Buffer>,
  path: string,
  keys: readonly TrustedKey[],
): Promise<FeaturePackage> {
  let bytes: Buffer = Buffer.alloc(0);
  const { zip, main } = await openPackage(path, 'feature-package', async () => {
    bytes = await read();
    return openZip(bytes, path, featureLimits);
  });
  if (!zip.names.includes('manifest.sig')) throw damaged(path, 'It is not signed: "manifest.sig" is missing.');
  const signer = signerOf(zip, main, keys, 'feature-package', path);
  const manifest = parseFeatureManifest(main.toString('utf8'));
  if ('faults' in manifest) throw damaged(path, 'Its manifest can’t be used by this version.', manifest.faults);
  const problem = namesProblem(zip, manifest.files) ?? readable(() => contentsProblem(zip, manifest.files));
  if (problem !== undefined) throw damaged(path, problem);
  return {
    manifest,
    digest: sha256(bytes),
    bytes,
    signer: signer.name,
    size: manifest.files.reduce((sum, file) => sum + file.size, 0),
    read: (name) => zip.read(name),
  };
}

/** A content that can't be inflated is as wrong as another one. */
function readable(look: () => string | undefined): string | undefined {
  try {
    return look();
  } catch (error) {
    if (error instanceof CmsadmError) return error.message;
    throw error;
  }
}

function damaged(file: string, what: string, details: readonly string[] = []): CmsadmError {
  return new CmsadmError('feature-package-damaged', `The feature package is not accepted. ${what}`, {
    file,
    details,
    remedy: 'Fetch the feature package again from where it was published; do not use this one.',
  });
}
