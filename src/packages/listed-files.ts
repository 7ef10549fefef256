/** A zip held against the files that its manifest lists: no file more, none less, none else. */
import { sha256 } from './manifest.ts';
import { shown, type ZipFile } from './zip.ts';

/** What a manifest says of one file in its zip. */
type Listed = { readonly path: string; readonly size: number; readonly sha256: string };

/** Why names and sizes are not as the manifest lists them; undefined where they are. */
export function namesProblem(zip: ZipFile, files: readonly Listed[]): string | undefined {
  const listed = new Set(files.map(({ path }) => path));
  const stray = zip.names.find((name) => !listed.has(name) && name !== 'manifest.json' && name !== 'manifest.sig');
  if (stray !== undefined) return `${shown(stray)} is not in its manifest.`;
  for (const file of files) {
    const size = zip.size(file.path);
    if (size === undefined) return `"${file.path}" is missing.`;
    if (size !== file.size) return unlike(file.path);
  }
  return undefined;
}

/** The same for the contents. */
export function contentsProblem(zip: ZipFile, files: readonly Listed[]): string | undefined {
  const wrong = files.find((file) => sha256(zip.read(file.path)) !== file.sha256);
  return wrong && unlike(wrong.path);
}

const unlike = (name: string): string => `"${name}" is not what its manifest says.`;
