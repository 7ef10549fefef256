import { dirname } from 'node:path';
import { inTurn } from '../change/turn.ts';
import { CmsadmError } from '../errors.ts';
import { isFolder, isThere, list } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { removeDurably, removeTree, rename, syncFolder, writeState } from '../host/writing.ts';
import type { Profile } from '../profile/schema.ts';
import { extractFrom, makeArchive, namesIn } from './archive.ts';
import { type Acd, acdName, readAcds } from './definition.ts';
import { stateOf } from './hooks.ts';
import { linkFile, readLinkOf } from './link.ts';
import { type AcdRemoval, archiveFile, readDone, readRemovals, removalFile, writeDone } from './removal.ts';
import { dataFolders, refuseLinkedData } from './standing.ts';

/** Each server's own part of ACDs that were removed, or brought back. */
export const acdsWanted = { name: 'ACDs', apply, report };

/** An archive may take hours. Who finds another process at it waits a minute, which the agent allows him, and is told. */
const turn = {
  ...{ operation: 'archiving or bringing back the data of ACDs', operator: 'cmsadm', server: 'this server' },
  path: '/run/cmsadm/acds',
};

/** What this server has not done yet. */
type Open = {
  readonly removals: readonly AcdRemoval[];
  /** Defined again from an archive. */
  readonly restored: readonly Acd[];
  /** Removed here, and the removal was taken back by its tag. */
  readonly takenBack: readonly Acd[];
};

function open(host: Host, profile: Profile): Open {
  if (!profile.acd) return { removals: [], restored: [], takenBack: [] };
  const acds = readAcds(host.root, profile);
  const { removed, restored } = readDone(host.root);
  const isDefined = (id: string): boolean => acds.some((acd) => acd.id === id);
  return {
    removals: readRemovals(host.root, profile).filter(
      ({ definition: { id } }) => !removed.includes(id) && !isDefined(id),
    ),
    restored: acds.filter(
      ({ id, restoredFrom }) =>
        restoredFrom !== undefined && !restored.includes(id) && isThere(host.root, archiveFile(restoredFrom)),
    ),
    takenBack: acds.filter(({ id }) => removed.includes(id)),
  };
}

/**
 * Archives this server's part of removed ACDs and removes it; puts back what belongs to those that were brought back. What
 * collects data is left alone. The agent begins it soon after the command that it belongs to: one of them does it.
 * @throws CmsadmError locked, administration-missing, acd-unreadable, acd-collects, data-is-link, archive-failed
 */
async function apply(host: Host, profile: Profile): Promise<string[]> {
  if (!profile.acd) return [];
  return inTurn(host, turn, () => applyNow(host, profile));
}

async function applyNow(host: Host, profile: Profile): Promise<string[]> {
  const lines: string[] = [];
  const { removals, restored, takenBack } = open(host, profile);
  for (const removal of removals) lines.push(...(await removePart(host, profile, removal)));
  for (const acd of restored) {
    lines.push(...(await putBack(host, profile, acd, archiveFile(acd.restoredFrom ?? ''), [])));
    const done = readDone(host.root);
    writeDone(host.root, { ...done, restored: [...done.restored, acd.id] });
  }
  for (const acd of takenBack) {
    const file = archiveFile(acd.id);
    if (isThere(host.root, file)) {
      lines.push(...(await putBack(host, profile, acd, file, [linkFile(acd.number)])));
      // The next removal makes an archive of its own.
      rename(host.root, file, `${file}.taken-back`);
    }
    const done = readDone(host.root);
    writeDone(host.root, { ...done, removed: done.removed.filter((id) => id !== acd.id) });
  }
  return lines;
}

async function report(host: Host, profile: Profile): Promise<string[]> {
  const { removals, restored, takenBack } = open(host, profile);
  return [
    ...removals.map(
      ({ number, definition }) => `ACD ${number} (${definition.name}) is removed, its part here is not yet`,
    ),
    ...[...restored, ...takenBack].map(
      (acd) => `${acdName(acd)} is defined again, its part here did not come back yet`,
    ),
  ];
}

async function removePart(host: Host, profile: Profile, removal: AcdRemoval): Promise<string[]> {
  const { root } = host;
  const { number, definition } = removal;
  const { id } = definition;
  const name = acdName({ number, name: definition.name });
  // The number was given anew meanwhile: link and data are the new one's.
  const isTaken = readAcds(root, profile).some((acd) => acd.number === number && acd.id !== id);
  if (!isTaken) refuseLinkedData(root, profile, number);
  const link = readLinkOf(root, number);
  const links = link?.id === id ? [linkFile(number)] : [];
  const folders = isTaken ? [] : dataFolders(profile, number).filter((path) => isThere(root, path));
  if (!isTaken && (await stateOf(host, profile, number)).collection === 'on')
    throw new CmsadmError('acd-collects', `${name} is removed, and still collects data here.`, {
      remedy: `Run here: cmsadm acd_link stop ${number}. Then: cmsadm recover.`,
    });
  const file = archiveFile(id);
  await makeArchive(host, file, [removalFile(profile, id), ...links, ...folders]);
  for (const folder of folders) {
    removeTree(root, folder);
    syncFolder(root, dirname(folder));
  }
  for (const path of links) removeDurably(root, path);
  const done = readDone(root);
  writeDone(root, { ...done, removed: [...done.removed, id] });
  return [`${name}: ${[...links, ...folders].join(', ') || 'nothing here'} removed, kept in ${file}`];
}

/** Puts the data of an ACD, and further files, back from an archive; what is there already stays. */
async function putBack(
  host: Host,
  profile: Profile,
  acd: Acd,
  file: string,
  more: readonly string[],
): Promise<string[]> {
  const { root } = host;
  const kept = await namesIn(host, file, [...more, ...dataFolders(profile, acd.number)]);
  // A run that died in the middle left a part: tar writes the same files over it.
  const marker = `${file}.restoring`;
  const isFree = (path: string): boolean =>
    !isThere(root, path) || (isFolder(root, path) && list(root, path).length === 0);
  const paths = isThere(root, marker) ? kept : kept.filter(isFree);
  if (paths.length > 0) {
    writeState(root, marker, '');
    await extractFrom(host, file, paths);
  }
  removeDurably(root, marker);
  const left = kept.filter((path) => !paths.includes(path));
  return [
    `${acdName(acd)}: ${paths.join(', ') || 'nothing'} back from ${file}`,
    ...left.map((path) => `${path} is there already, and stays`),
  ];
}
