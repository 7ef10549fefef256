import { dirname } from 'node:path';
import type { Root } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { removeDurably, removeTree } from '../host/writing.ts';
import { featuresFolder, placesOf } from './places.ts';
import { type FeatureRecord, type Version, writeRecord } from './record.ts';
import { ownSettings } from './switch-version.ts';
import { removeFolderDurably, takeAllAway, takeFolderAway } from './take-away.ts';

/** Takes away all that is below the package's folder and is ours, and the record last. @returns what stays */
export function clearHome({ root }: Host, name: string, record: FeatureRecord): string[] {
  const places = placesOf(name);
  removeDurably(root, places.current);
  const versions = [record.installed, record.coming, ...record.leaving].filter((version) => version !== null);
  const kept = [
    ...takeAllAway(root, places.home, [{ path: places.settings, ours: ownSettings(record) }]),
    ...versions.flatMap((version) => takeVersionAway(root, version)),
  ];
  for (const folder of [places.home, featuresFolder, places.data, dirname(places.data)])
    removeFolderDurably(root, folder);
  writeRecord(root, name, null);
  return kept;
}

/** Takes one version away. @returns what stays of it */
export function takeVersionAway(root: Root, { manifest, folder }: Version): string[] {
  const { version, staged } = placesOf(manifest.name);
  removeTree(root, staged(folder));
  return takeFolderAway(root, version(folder), manifest.files);
}
