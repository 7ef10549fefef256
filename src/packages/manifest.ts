/** The manifest of an HA package: what it holds, with the digest of every file. Its bytes are what is signed. */
import { createHash } from 'node:crypto';
import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';

export const platform = 'linux-x64';
/** The `node` of a package without a runtime: for rehearsals only. */
export const noRuntime = 'none';

// Flat names only: an entry is written into one folder, under its own name.
const entryName = v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$/u));
// The version becomes the name of a folder.
export const versionText = v.pipe(
  v.string(),
  v.regex(/^\d{1,9}\.\d{1,9}\.\d{1,9}(-[0-9A-Za-z]+([.-][0-9A-Za-z]+)*)?$/u),
);

/** The digest of a file, in a manifest. */
export const digestText = v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/u));

const manifestSchema = v.object({
  kind: v.literal('cmsadm-ha-package'),
  version: versionText,
  protocol: v.pipe(v.number(), v.integer(), v.minValue(1)),
  platform: v.string(),
  node: v.union([v.literal(noRuntime), v.pipe(v.string(), v.regex(/^\d+\.\d+\.\d+$/u))]),
  files: v.array(
    v.object({
      path: entryName,
      size: v.pipe(v.number(), v.integer(), v.minValue(0)),
      sha256: digestText,
      mode: v.picklist(['0644', '0755']),
    }),
  ),
});

export type Manifest = v.InferOutput<typeof manifestSchema>;

/** The manifest as written into the package: one key to a line, so that a shell script can read the version. */
export function printManifest(manifest: Manifest): Buffer {
  return Buffer.from(`${JSON.stringify(v.parse(manifestSchema, manifest), null, 2)}\n`);
}

/** A manifest's text → the manifest, or undefined if it is not one. */
export function parseManifest(text: string): Manifest | undefined {
  const found = v.safeParse(v.pipe(v.string(), v.parseJson(), manifestSchema), text);
  return found.success ? found.output : undefined;
}

/** SHA-256 in hexadecimal; of a manifest's bytes it is the package's digest. */
export function sha256(data: Buffer | string): string {
  return createHash('sha256').update(data).digest('hex');
}

/** The text of an installed release's manifest.json → what is installed. Throws 'installed-manifest-unreadable'. */
export function readInstalledManifest(text: string): Manifest & { readonly digest: string } {
  const manifest = parseManifest(text);
  if (manifest !== undefined) return { ...manifest, digest: sha256(text) };
  throw new CmsadmError('installed-manifest-unreadable', 'The manifest of the installed program cannot be read.', {
    remedy: 'Install the program again: unpack the HA package and run ./install in it.',
  });
}
