import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import { list, type Root, readText } from '../host/root.ts';
import { removeDurably, removeEmptyFolder, writeState } from '../host/writing.ts';
import { featureManifestSchema } from '../packages/feature-manifest.ts';
import { digestText } from '../packages/manifest.ts';
import { placesOf, recordFolder } from './places.ts';

const version = v.strictObject({
  /** SHA-256 of the zip that it came from. */
  package: digestText,
  /** The name of its folder. */
  folder: v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9.-]{0,99}$/)),
  manifest: featureManifestSchema,
});
export type Version = v.InferOutput<typeof version>;

const recordSchema = v.strictObject({
  /** The version in use; null while the first one comes. */
  installed: v.nullable(version),
  /** Written before anything of it is: a version that comes, and may have been left half-way by a crash. */
  coming: v.nullable(version),
  /** Versions whose files are still to go. */
  leaving: v.array(version),
  /** The text of the settings file as we wrote it; another one is somebody else's. */
  settings: v.nullable(v.string()),
  /** The same, written before that text is. */
  comingSettings: v.nullable(v.string()),
});
/** What one server knows of one package. */
export type FeatureRecord = v.InferOutput<typeof recordSchema>;

export const noRecord: FeatureRecord = {
  installed: null,
  coming: null,
  leaving: [],
  settings: null,
  comingSettings: null,
};

/** The packages that this server knows of, by name. */
export const recordedNames = (root: Root): string[] =>
  list(root, recordFolder).flatMap((file) => /^([a-z][a-z0-9_]{0,31})\.json$/.exec(file)?.[1] ?? []);

/** @throws CmsadmError state-unreadable */
export function readRecord(root: Root, name: string): FeatureRecord | undefined {
  const file = placesOf(name).record;
  const text = readText(root, file);
  if (text === undefined) return undefined;
  try {
    return v.parse(recordSchema, JSON.parse(Buffer.from(text, 'latin1').toString('utf8')));
  } catch (cause) {
    throw new CmsadmError('state-unreadable', `${file} is damaged: what ${name} brought here is not known.`, {
      file,
      cause,
      remedy: `Correct it, or move it and ${placesOf(name).home} away; the package is then installed anew.`,
    });
  }
}

/** Durable when it returns; null: nothing of the package is here any more. */
export function writeRecord(root: Root, name: string, record: FeatureRecord | null): void {
  const file = placesOf(name).record;
  if (record !== null) {
    writeState(root, file, Buffer.from(`${JSON.stringify(record, null, 2)}\n`).toString('latin1'));
    return;
  }
  removeDurably(root, file);
  removeEmptyFolder(root, recordFolder);
}
