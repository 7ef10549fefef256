/** Makes a feature package of a folder: package.yaml and files/. The same content and key give the same bytes. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import * as v from 'valibot';
import { parse } from 'yaml';
import { CmsadmError } from '../errors.ts';
import { type ArchiveEntry, writeZip } from './archive.ts';
import {
  type FeatureManifest,
  faultsOf,
  type PackageSource,
  packageSource,
  printFeatureManifest,
} from './feature-manifest.ts';
import { sha256 } from './manifest.ts';
import { sign } from './signature.ts';

export type PreparedPackage = {
  readonly manifest: FeatureManifest;
  /** Writes the signed zip; it is replaced only when it is complete. @returns its bytes */
  readonly write: (out: string) => Promise<number>;
};

/**
 * Reads the folder and signs its manifest; nothing is written yet.
 * @throws CmsadmError package-source-refused with every fault, signing-key-unusable
 */
export async function prepareFeaturePackage(folder: string, privateKeyPem: string): Promise<PreparedPackage> {
  const source = await readSource(join(folder, 'package.yaml'));
  const content = await filesBelow(join(folder, 'files'));
  const files = content.map(({ name, data, mode }) => ({
    path: name,
    size: data.length,
    sha256: sha256(data),
    mode: mode === 0o755 ? ('0755' as const) : ('0644' as const),
  }));
  const manifest: FeatureManifest = { kind: 'cmsadm-feature-package', ...source, files };
  const main = printFeatureManifest(manifest, folder);
  const signature = Buffer.from(`${JSON.stringify(sign(main, privateKeyPem), null, 2)}\n`);
  return {
    manifest,
    write: (out) =>
      writeZip(out, [
        { name: 'manifest.json', data: main, mode: 0o644 },
        { name: 'manifest.sig', data: signature, mode: 0o644 },
        ...content,
      ]),
  };
}

async function readSource(file: string): Promise<PackageSource> {
  const text = await readFile(file, 'utf8').catch((cause: unknown) => {
    throw refused(file, 'There is no readable package.yaml.', [], cause);
  });
  const value = ((): unknown => {
    try {
      return parse(text);
    } catch (cause) {
      throw refused(file, 'package.yaml is no YAML.', [], cause);
    }
  })();
  const found = v.safeParse(packageSource, value);
  if (found.success) return found.output;
  throw refused(file, 'package.yaml does not fit its form.', faultsOf(found.issues));
}

/** All files with their paths below the folder, in the order of code units: that of locales differs by machine. */
async function filesBelow(folder: string, within = ''): Promise<ArchiveEntry[]> {
  const found: ArchiveEntry[] = [];
  const entries = await readdir(join(folder, within), { withFileTypes: true }).catch((cause: unknown) => {
    throw refused(folder, 'There is no readable folder files/.', [], cause);
  });
  for (const entry of entries) {
    const name = within === '' ? entry.name : `${within}/${entry.name}`;
    if (entry.isDirectory()) found.push(...(await filesBelow(folder, name)));
    else if (entry.isFile()) {
      const { mode } = await stat(join(folder, name));
      const data = await readFile(join(folder, name));
      found.push({ name, data, mode: (mode & 0o100) === 0 ? 0o644 : 0o755 });
    } else throw refused(join(folder, name), 'It is neither a file nor a folder.');
  }
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

const refused = (file: string, message: string, details: readonly string[] = [], cause?: unknown): CmsadmError =>
  new CmsadmError('package-source-refused', message, {
    file,
    details,
    cause,
    remedy: 'Give the folder of a package: package.yaml, and files/ with what it brings.',
  });
