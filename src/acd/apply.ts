import * as fs from 'node:fs';
import { dirname } from 'node:path';
import { CmsadmError } from '../errors.ts';
import { at, isThere, list, removeDurably, syncFolder } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import type { Profile } from '../profile/schema.ts';
import { extractFrom, foldersIn, makeArchive } from './archive.ts';
import { type Acd, acdName, readAcds } from './definition.ts';
import { stateOf } from './hooks.ts';
import { linkFile, readLinkOf } from './link.ts';
import { type AcdRemoval, archiveFile, readDone, readRemovals, removalFile, writeDone } from './removal.ts';
import { dataFolders } from './standing.ts';

/** Each server's own part of ACDs that were removed, or brought back. */
export const acdsWanted = { name: 'ACDs', apply, report };

/** Removals whose part of this server is not done, and definitions whose data did not come back yet. */
function open(host: Host, profile: Profile): { readonly removals: AcdRemoval[]; readonly restored: Acd[] } {
  if (!profile.acd) return { removals: [], restored: [] };
  const acds = readAcds(host.root, profile);
  const done = readDone(host.root);
  return {
    removals: readRemovals(host.root, profile).filter(({ definition }) => !done.removed.includes(definition.id)),
    restored: acds.filter(
      ({ id, restoredFrom }) =>
        restoredFrom !== undefined && !done.restored.includes(id) && isThere(host.root, archiveFile(restoredFrom)),
    ),
  };
}

/**
 * Archives this server's part of removed ACDs and removes it; puts back the data of those that were brought back. What
 * collects data is left alone.
 * @throws CmsadmError administration-missing, acd-unreadable, acd-collects, archive-failed
 */
async function apply(host: Host, profile: Profile): Promise<string[]> {
  const lines: string[] = [];
  const { removals } = open(host, profile);
  for (const removal of removals) lines.push(...(await removePart(host, profile, removal)));
  for (const acd of open(host, profile).restored) lines.push(...(await restorePart(host, profile, acd)));
  return lines;
}

async function report(host: Host, profile: Profile): Promise<string[]> {
  const { removals, restored } = open(host, profile);
  return [
    ...removals.map(
      ({ number, definition }) => `ACD ${number} (${definition.name}) is removed, its part here is not yet`,
    ),
    ...restored.map((acd) => `${acdName(acd)} is defined again, its data here did not come back yet`),
  ];
}

async function removePart(host: Host, profile: Profile, removal: AcdRemoval): Promise<string[]> {
  const { root } = host;
  const { number, definition } = removal;
  const { id } = definition;
  const name = acdName({ number, name: definition.name });
  // The number was given anew meanwhile: link and data are the new one's.
  const isTaken = readAcds(root, profile).some((acd) => acd.number === number && acd.id !== id);
  const link = readLinkOf(root, number);
  const links = link?.id === id ? [linkFile(number)] : [];
  const folders = isTaken ? [] : dataFolders(profile, number).filter((path) => isThere(root, path));
  if (!isTaken && (await stateOf(host, profile, number)).collection === 'on')
    throw new CmsadmError('acd-collects', `${name} is removed, and still collects data here.`, {
      remedy: `Run here: cmsadm acd_link stop ${number}. Then: cmsadm recover.`,
    });
  const file = archiveFile(id);
  await makeArchive(root, file, [removalFile(profile, id), ...links, ...folders]);
  for (const folder of folders) {
    fs.rmSync(at(root, folder), { recursive: true, force: true });
    syncFolder(root, dirname(folder));
  }
  for (const path of links) removeDurably(root, path);
  const done = readDone(root);
  writeDone(root, { ...done, removed: [...done.removed, id] });
  return [`${name}: ${[...links, ...folders].join(', ') || 'nothing here'} removed, kept in ${file}`];
}

async function restorePart(host: Host, profile: Profile, acd: Acd): Promise<string[]> {
  const { root } = host;
  const file = archiveFile(acd.restoredFrom ?? '');
  const kept = await foldersIn(root, file, dataFolders(profile, acd.number));
  const isFilled = (path: string): boolean => list(root, path).length > 0;
  const free = kept.filter((path) => !isFilled(path));
  // A run that died in the middle left a part: tar writes the same files over it.
  const marker = `${file}.restoring`;
  const begun = isThere(root, marker);
  const folders = begun ? kept : free;
  if (folders.length > 0) {
    fs.writeFileSync(at(root, marker), '');
    await extractFrom(root, file, folders);
    fs.rmSync(at(root, marker), { force: true });
  }
  const done = readDone(root);
  writeDone(root, { ...done, restored: [...done.restored, acd.id] });
  const left = kept.filter((path) => !folders.includes(path));
  return [
    `${acdName(acd)}: ${folders.join(', ') || 'no data'} back from ${file}`,
    ...left.map((path) => `${path} holds something already, and stays`),
  ];
}
