import { basename, dirname, join } from 'node:path';
import { CmsadmError } from '../errors.ts';
import { inFolder, splitPath } from '../host/held-folder.ts';
import { list, type Root, readFact } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { removeIfThere, syncFolder } from '../host/writing.ts';
import { backupOf, type Tag, type TransactionId, tagOf } from '../pair/tag.ts';
import { isOpen, type Manifest, note, readableJournal, realEntry, transactions } from './journal.ts';

/** What one server keeps of one tag; plain data. */
export type TagBackups = {
  readonly tag: Tag;
  readonly at: string;
  readonly operation: string;
  readonly operator: string;
  /** `open`: not settled, so that its backups may still be needed. */
  readonly state: 'open' | 'confirmed' | 'put back';
  /** Its backups were removed by an operator, or their removal had begun. */
  readonly pruned: boolean;
  readonly files: readonly { readonly path: string; readonly bytes: number }[];
  /** Edits that were made during the change and kept when it was put back: the administrator's. */
  readonly edited: readonly string[];
};

/** What a prune removed on one server. */
export type Pruned = { readonly files: readonly string[]; readonly bytes: number };

/** All that this server keeps of earlier changes, oldest first. A journal that can't be read is left out: nobody prunes it. */
export function readBackups(root: Root): TagBackups[] {
  const tags = new Map<Tag, TagBackups>();
  for (const id of transactions(root)) {
    const one = backupsOf(root, id);
    if (!one) continue;
    const other = tags.get(one.tag);
    tags.set(one.tag, other ? together(other, one) : one);
  }
  return [...tags.values()];
}

function backupsOf(root: Root, id: TransactionId): TagBackups | undefined {
  const { manifest, states, decision } = readableJournal(root, id) ?? {};
  if (!manifest || !states) return undefined;
  return {
    tag: tagOf(id),
    at: manifest.at,
    operation: manifest.operation,
    operator: manifest.operator,
    state: isOpen({ states, decision }) ? 'open' : decision === 'confirmed' ? 'confirmed' : 'put back',
    pruned: states.includes('pruned'),
    files: backupNames(manifest).flatMap((path) => {
      const fact = readFact(root, path);
      return fact.state === 'file' ? [{ path, bytes: fact.content.length }] : [];
    }),
    edited: manifest.files.flatMap((file) => editedNames(root, realEntry(file), manifest.tag)),
  };
}

/** The link and the change of one set up have one tag. */
const together = (link: TagBackups, change: TagBackups): TagBackups => ({
  ...change,
  state: [link, change].find(({ state }) => state === 'open')?.state ?? change.state,
  pruned: link.pruned || change.pruned,
  files: [...link.files, ...change.files],
  edited: [...link.edited, ...change.edited],
});

/** The names of all backups that a change may have made. */
const backupNames = ({ tag, files, afterwards }: Manifest): string[] => [
  ...files.filter(({ before }) => before !== null).map((file) => backupOf(realEntry(file), tag)),
  ...afterwards.removeFiles.map((path) => backupOf(path, tag)),
];

const editedNames = (root: Root, path: string, tag: Tag): string[] =>
  list(root, dirname(path))
    .filter((name) => name.startsWith(`${basename(backupOf(path, tag))}.edited`))
    .map((name) => join(dirname(path), name));

/**
 * Removes the backups of these tags, by this server's own manifests; edits that were kept stay. The journal gets its mark
 * first: whatever interrupts this, a backup that is gone is explained, and the next prune finishes it.
 * @throws CmsadmError not-settled for a change that still may need its backups; then nothing of any tag is removed
 */
export async function pruneBackups({ root, system }: Host, tags: readonly Tag[]): Promise<Pruned> {
  const ids = transactions(root).filter((id) => tags.includes(tagOf(id)));
  const known = readBackups(root).filter(({ tag }) => tags.includes(tag));
  const open = known.filter(({ state }) => state === 'open').map(({ tag }) => tag);
  if (open.length > 0)
    throw new CmsadmError('not-settled', `The backups of ${open.join(', ')} may still be needed.`, {
      remedy: 'Run `cmsadm recover`, then prune.',
    });
  const files = known.flatMap((one) => one.files);
  for (const id of ids)
    if (readableJournal(root, id)?.states.includes('pruned') === false) note(root, id, 'pruned', system.clock());
  const places = files.map(({ path }) => splitPath(path));
  for (const folder of new Set(places.map((place) => place.folder)))
    await inFolder(root, folder, undefined, (held) => {
      for (const place of places) if (place.folder === folder) removeIfThere(held, place.name);
      syncFolder(held, '/');
    });
  return { files: files.map(({ path }) => path), bytes: files.reduce((sum, { bytes }) => sum + bytes, 0) };
}
