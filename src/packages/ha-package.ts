/** The HA package: the zip that carries the program, its runtime and the installer to a server that has nothing. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Readable } from 'node:stream';
import { CmsadmError } from '../errors.ts';
import { packTar } from './archive.ts';
import { contentsProblem, namesProblem } from './listed-files.ts';
import { type Manifest, parseManifest, platform, sha256 } from './manifest.ts';
import { openPackage, signerOf } from './package-kind.ts';
import type { TrustedKey } from './signature.ts';
import type { ZipFile } from './zip.ts';

export type HaPackage = {
  readonly path: string;
  readonly version: string;
  readonly protocol: number;
  /** SHA-256 of manifest.json, hexadecimal: the same digest, the same package. */
  readonly digest: string;
  /** The name of the trusted key that signed it. */
  readonly signer: string;
  /** The version of the Node runtime in it, or 'none'. */
  readonly node: string;
  /** Bytes of all entries together. */
  readonly size: number;
  /** Compares the contents of every file with the signed manifest, once. Throws 'ha-package-damaged'. */
  readonly verify: () => void;
  /** All entries as one tar stream, for `tar -xf -` on the peer; verified first. */
  readonly upload: () => Promise<Readable>;
  /** Writes all entries into a new folder, for its `install`; verified first. */
  readonly unpackInto: (folder: string) => Promise<void>;
};

/**
 * Opens an HA package: signature first, then the names and sizes of its files against the signed manifest. Their
 * contents are for `verify`.
 * Throws 'ha-package-unreadable', 'ha-package-foreign', 'ha-package-damaged', 'signature-invalid', 'signer-unknown'.
 */
export async function openHaPackage(path: string, keys: readonly TrustedKey[]): Promise<HaPackage> {
  const { zip, main } = await openPackage(path, 'ha-package');
  if (!zip.names.includes('manifest.sig')) throw damaged(path, 'It is not signed: "manifest.sig" is missing.');
  const signer = signerOf(zip, main, keys, 'ha-package', path);
  const manifest = parseManifest(main.toString('utf8'));
  if (manifest === undefined) throw damaged(path, 'Its manifest cannot be read by this version.');
  if (manifest.platform !== platform)
    throw new CmsadmError('ha-package-foreign', `This HA package is for ${manifest.platform}, not ${platform}.`, {
      file: path,
      remedy: `Give the HA package for ${platform}.`,
    });
  checkFiles(zip, manifest, path);

  const { version, protocol, node, files } = manifest;
  const own = ['manifest.json', 'manifest.sig'].map((name) => ({ name, data: zip.read(name), mode: 0o644 }));
  const size = [...own.map(({ data }) => data.length), ...files.map((file) => file.size)].reduce((a, b) => a + b);
  let verified = false;
  const verify = (): void => {
    if (!verified) checkContents(zip, manifest, path);
    verified = true;
  };
  const entries = () => {
    verify();
    return [
      ...own,
      ...files.map((file) => ({ name: file.path, data: zip.read(file.path), mode: Number.parseInt(file.mode, 8) })),
    ];
  };
  const upload = async (): Promise<Readable> => packTar(entries());
  const unpackInto = async (folder: string): Promise<void> => {
    const unpacked = entries();
    await mkdir(folder, { mode: 0o700 });
    for (const { name, data, mode } of unpacked) await writeFile(join(folder, name), data, { mode, flag: 'wx' });
  };
  return { path, version, protocol, digest: sha256(main), signer: signer.name, node, size, verify, upload, unpackInto };
}

function checkFiles(zip: ZipFile, manifest: Manifest, path: string): void {
  for (const needed of ['install', 'program.tar', 'SHA256SUMS'])
    if (!manifest.files.some((file) => file.path === needed)) throw damaged(path, `"${needed}" is missing.`);
  const problem = namesProblem(zip, manifest.files);
  if (problem !== undefined) throw damaged(path, problem);
}

function checkContents(zip: ZipFile, manifest: Manifest, path: string): void {
  const problem = contentsProblem(zip, manifest.files);
  if (problem !== undefined) throw damaged(path, problem);
}

function damaged(file: string, what: string): CmsadmError {
  return new CmsadmError('ha-package-damaged', `The HA package is damaged. ${what}`, {
    file,
    remedy: 'Fetch the HA package again from where it was published; do not use this one.',
  });
}
