/** Opens a zip that should be of one of our kinds, and says which kind it is if it is another one. */
import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import { parseSignature, type TrustedKey, verifySignature } from './signature.ts';
import { readZip, type ZipFile } from './zip.ts';

const kinds = {
  'ha-package': { title: 'HA package', main: 'manifest.json', kind: 'cmsadm-ha-package' },
  licence: { title: 'licence package', main: 'licence.json', kind: 'cmsadm-licence' },
  'feature-package': { title: 'feature package', main: 'manifest.json', kind: 'cmsadm-feature-package' },
} as const;
export type PackageKind = keyof typeof kinds;

/** The largest manifest, licence or signature that is read. */
export const maxTextSize = 1024 * 1024;

/**
 * The zip at `path` and the bytes of its main file, if it is of this kind.
 * `open` is how it is read. Throws '<kind>-unreadable' (no readable, safe zip) or '<kind>-foreign' (another kind).
 */
export async function openPackage(
  path: string,
  wanted: PackageKind,
  open: () => Promise<ZipFile> = () => readZip(path),
): Promise<{ zip: ZipFile; main: Buffer }> {
  const { title, main } = kinds[wanted];
  try {
    const zip = await open();
    const found = kindOf(zip);
    if (found === wanted) return { zip, main: zip.read(main, maxTextSize) };
    const what = found === undefined ? 'something else' : `the ${kinds[found].title}`;
    throw new CmsadmError(`${wanted}-foreign`, `This is not the ${title} but ${what}.`, {
      file: path,
      remedy: `Give the full path of the ${title}.`,
    });
  } catch (cause) {
    if (!(cause instanceof CmsadmError) || cause.code === `${wanted}-foreign`) throw cause;
    throw new CmsadmError(`${wanted}-unreadable`, `The ${title} cannot be used. ${cause.message}`, {
      file: path,
      ...(cause.remedy === undefined ? {} : { remedy: cause.remedy }),
      cause,
    });
  }
}

/** Who signed the main file; a refusal says of which kind of package. Throws 'signature-invalid', 'signer-unknown'. */
export function signerOf(
  zip: ZipFile,
  main: Buffer,
  keys: readonly TrustedKey[],
  wanted: PackageKind,
  file: string,
): TrustedKey {
  try {
    return verifySignature(main, parseSignature(zip.read('manifest.sig', maxTextSize).toString('utf8')), keys);
  } catch (cause) {
    if (!(cause instanceof CmsadmError)) throw cause;
    throw new CmsadmError(cause.code, `The ${kinds[wanted].title} is not accepted. ${cause.message}`, {
      file,
      details: cause.details,
      ...(cause.remedy === undefined ? {} : { remedy: cause.remedy }),
      cause,
    });
  }
}

function kindOf(zip: ZipFile): PackageKind | undefined {
  return (['ha-package', 'licence', 'feature-package'] as const).find((kind) => isKind(zip, kind));
}

function isKind(zip: ZipFile, wanted: PackageKind): boolean {
  const { main, kind } = kinds[wanted];
  if (!zip.names.includes(main)) return false;
  const schema = v.pipe(v.string(), v.parseJson(), v.object({ kind: v.literal(kind) }));
  return v.is(schema, zip.read(main, maxTextSize).toString('utf8'));
}
