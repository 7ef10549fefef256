// A restore over a root is all there, or nothing of it. Beside what it has staged lies a journal with every name that
// moves; once they all have, the file `decided` says so. Who finds the journal without it puts everything back, who finds
// both finishes. Without the journal the folder is rubbish, and its root is as it should be.
import * as fs from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { CmsadmError, exitCodes } from '../errors.ts';
import { count } from '../printable.ts';
import { giveFolders, keepFolders } from './folders.ts';
import { type Moves, type Placing, placeAll, putBackMoves } from './place-files.ts';
import { folderOf, removeStage } from './stages.ts';
import { syncFolder, toDisk } from './to-disk.ts';

const journalSchema = v.object({
  version: v.literal(1),
  tag: v.nullable(v.string()),
  stages: v.array(v.string()),
  moves: v.array(v.tuple([v.number(), v.string(), v.picklist(['nothing', 'file', 'folder'])])),
});

const files = (over: string) => {
  const folder = folderOf(over, '.');
  return {
    folder,
    journal: join(folder, 'journal'),
    decided: join(folder, 'decided'),
    /** What the folders that stay have had, and get. */
    foldersBefore: join(folder, 'folders-before'),
  };
};
const foldersAfter = (over: string, at: string): string => join(folderOf(over, at), 'folders-after');

/**
 * Puts everything staged in its place. Where that fails, what is done lies there to be settled.
 * @param planned per stage, in their order
 * @param gives whether a folder that stays gets what is staged of it, by its member's name
 */
export async function place(
  { over, tag }: Pick<Placing, 'over' | 'tag'>,
  planned: readonly (Moves & { readonly at: string })[],
  { gives, refuseIfStopped }: { readonly gives: (name: string) => boolean; readonly refuseIfStopped: () => void },
): Promise<Placing> {
  const placing = { over, tag, stages: planned.map(({ at }) => at), moves: planned.flatMap(({ moves }) => moves) };
  const there = new Set(planned.flatMap(({ folders }) => folders.map(({ real }) => real)));
  await keepFolders(over, [...there], files(over).foldersBefore);
  for (const { at, folders } of planned) {
    const given = folders.map(({ name }) => name).filter(gives);
    if (given.length > 0) await keepFolders(join(folderOf(over, at), 'tree'), given, foldersAfter(over, at));
  }
  await syncAll(placing);
  refuseIfStopped();
  write(files(over).journal, journalOf(placing));
  await placeAll(placing, refuseIfStopped);
  refuseIfStopped();
  await syncAll(placing);
  write(files(over).decided, '');
  await finish(placing);
  return placing;
}

const journalOf = ({ tag, stages, moves }: Placing): string =>
  JSON.stringify({ version: 1, tag, stages, moves: moves.map(({ at, name, was }) => [stages.indexOf(at), name, was]) });

/** All there or not there, also after a power cut. */
function write(file: string, text: string): void {
  const fresh = `${file}.new`;
  const handle = fs.openSync(fresh, 'w', 0o600);
  try {
    fs.writeFileSync(handle, text, 'latin1');
    fs.fsyncSync(handle);
  } finally {
    fs.closeSync(handle);
  }
  fs.renameSync(fresh, file);
  syncFolder(join(file, '..'));
}

/** @throws CmsadmError restore-failed */
const syncAll = ({ over, stages }: Placing): Promise<void> => toDisk(stages.map((at) => folderOf(over, at)));

/** After the decision: may be repeated. */
async function finish(placing: Placing): Promise<void> {
  for (const at of placing.stages) {
    const after = foldersAfter(placing.over, at);
    if (fs.existsSync(after)) await giveFolders(placing.over, after);
  }
  await syncAll(placing);
  forget(placing);
}

/** Takes the journal away, and with it what was staged and what was kept. */
function forget({ over, stages }: Placing): void {
  const { folder, journal } = files(over);
  fs.unlinkSync(journal);
  syncFolder(folder);
  for (const at of stages) removeStage(folderOf(over, at));
}

/**
 * Settles what a restore over `over` has left that did not come to its end: finished where all was in its place, else put
 * back. May be repeated.
 * @returns what it did, one line each
 * @throws CmsadmError restore-unsettled
 */
export async function settlePlacing(over: string): Promise<string[]> {
  const { folder, journal, decided, foldersBefore } = files(over);
  if (!fs.existsSync(journal)) {
    if (!fs.existsSync(folder)) return [];
    removeStage(folder);
    return [`what was staged in ${over} was removed; nothing had been put in its place`];
  }
  const placing = readJournal(over, journal);
  requireStages(placing);
  if (fs.existsSync(decided)) {
    await finish(placing);
    return [`the restore over ${over} was finished: all of it is in its place`];
  }
  const back = putBackMoves(placing);
  await giveFolders(over, foldersBefore);
  await syncAll(placing);
  forget(placing);
  return [`the restore over ${over} was put back: ${count(back, 'name')} as before it`];
}

/** True where a restore over this root has not come to its end. */
export const isUnsettled = (over: string): boolean => fs.existsSync(files(over).journal);

function readJournal(over: string, file: string): Placing {
  const { tag, stages, moves } = v.parse(journalSchema, JSON.parse(fs.readFileSync(file, 'latin1')));
  return { over, tag, stages, moves: moves.map(([index, name, was]) => ({ at: stages[index] ?? '.', name, was })) };
}

function requireStages({ over, stages }: Placing): void {
  const missing = stages.filter((at) => !fs.existsSync(folderOf(over, at)));
  if (missing.length === 0) return;
  throw new CmsadmError(
    'restore-unsettled',
    `A restore over ${over} stands half way, and ${missing.map((at) => at.slice(1)).join(', ')} is not mounted there.`,
    {
      exitCode: exitCodes.needsPerson,
      remedy: `Mount what was mounted below ${over}, then: cmsadm backup unblock --over ${over}`,
    },
  );
}
