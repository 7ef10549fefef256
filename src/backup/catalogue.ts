import * as fs from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { at, list, type Root, readText } from '../host/root.ts';
import { removeIfThere, rename, writeState } from '../host/writing.ts';
import { backupKinds, isBackupName } from './facts.ts';
import { compressions, formatNames } from './formats.ts';
import { places } from './places.ts';

const entrySchema = v.object({
  name: v.string(),
  kind: v.picklist(backupKinds),
  format: v.picklist(formatNames),
  compression: v.picklist(compressions),
  made: v.string(),
  load: v.string(),
  /** The file, or the device that it was written to. */
  path: v.string(),
  isDevice: v.boolean(),
  bytes: v.number(),
  members: v.number(),
  /** When it was last read back whole; null if never. */
  verified: v.nullable(v.string()),
  of: v.optional(v.string()),
});

/** A backup that this server made, as it remembers it. */
export type CatalogueEntry = v.InferOutput<typeof entrySchema>;

/** `there`: as long as when it was made. On a tape nobody can tell without reading it. */
export type Whereabouts = 'there' | 'gone' | 'another size' | 'on its device';

const entryPath = (name: string): string => `${places.catalogue}/${name}.json`;
/** What GNU tar remembers of a full maintenance backup, for the incremental ones. */
export const snapshotPath = (name: string): string => `${places.catalogue}/${name}.snar`;

/** All that is remembered, newest first. An entry that cannot be read is left out: it only remembers. */
export function readCatalogue(root: Root): CatalogueEntry[] {
  return list(root, places.catalogue)
    .filter((file) => file.endsWith('.json') && isBackupName(file.slice(0, -'.json'.length)))
    .flatMap((file) => {
      const parsed = v.safeParse(entrySchema, parse(readText(root, join(places.catalogue, file)) ?? ''));
      return parsed.success ? [parsed.output] : [];
    })
    .sort((a, b) => (a.made < b.made ? 1 : -1));
}

export const remember = (root: Root, entry: CatalogueEntry): void =>
  writeState(root, entryPath(entry.name), `${JSON.stringify(entry)}\n`);

export function forget(root: Root, name: string): void {
  removeIfThere(root, entryPath(name));
  removeIfThere(root, snapshotPath(name));
}

/** Where the snapshot of a backup grows that is being made. */
export const newSnapshotPath = `${places.scratch}/snapshot`;

/** Puts the snapshot of a full maintenance backup that was made in its place. */
export const keepSnapshot = (root: Root, name: string): void => rename(root, newSnapshotPath, snapshotPath(name));

export function whereabouts(root: Root, { path, isDevice, bytes }: CatalogueEntry): Whereabouts {
  if (isDevice) return 'on its device';
  try {
    return fs.statSync(at(root, path)).size === bytes ? 'there' : 'another size';
  } catch {
    return 'gone'; // or its file system is not mounted: it can't be had now
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
