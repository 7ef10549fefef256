/** Opens a zip that should be of one of our two kinds, and says which kind it is if it is the other one. */
import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import { readZip, type ZipFile } from './zip.ts';

const kinds = {
  'ha-package': { title: 'HA package', main: 'manifest.json', kind: 'cmsadm-ha-package' },
  licence: { title: 'licence package', main: 'licence.json', kind: 'cmsadm-licence' },
} as const;
export type PackageKind = keyof typeof kinds;

/** The largest manifest, licence or signature that is read. */
export const maxTextSize = 1024 * 1024;

/**
 * The zip at `path` and the bytes of its main file, if it is of this kind.
 * Throws '<kind>-unreadable' (no readable, safe zip) or '<kind>-foreign' (another kind).
 */
export async function openPackage(path: string, wanted: PackageKind): Promise<{ zip: ZipFile; main: Buffer }> {
  const { title, main } = kinds[wanted];
  try {
    const zip = await readZip(path);
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

function kindOf(zip: ZipFile): PackageKind | undefined {
  if (isKind(zip, 'ha-package')) return 'ha-package';
  return isKind(zip, 'licence') ? 'licence' : undefined;
}

function isKind(zip: ZipFile, wanted: PackageKind): boolean {
  const { main, kind } = kinds[wanted];
  if (!zip.names.includes(main)) return false;
  const schema = v.pipe(v.string(), v.parseJson(), v.object({ kind: v.literal(kind) }));
  return v.is(schema, zip.read(main, maxTextSize).toString('utf8'));
}
