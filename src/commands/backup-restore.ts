import * as fs from 'node:fs';
import { dirname, join } from 'node:path';
import { programsFor } from '../backup/archiver.ts';
import { logBackup } from '../backup/backup-log.ts';
import type { BackupFacts } from '../backup/facts.ts';
import { mountsNow } from '../backup/mounts.ts';
import { isUnsettled } from '../backup/placing.ts';
import { readFactsOf } from '../backup/read-archive.ts';
import { type Restored, type RestorePlan, restoreBackup } from '../backup/restore-backup.ts';
import { running } from '../backup/running.ts';
import { damagedArchive, pathOf } from '../backup/scan.ts';
import { CmsadmError, exitCodes } from '../errors.ts';
import { at } from '../host/root.ts';
import { count, printableBytes } from '../printable.ts';
import { type Found, findBackup, settleBackup } from './backup-find.ts';
import { backupRestoreParameters } from './backup-parameters.ts';
import { mountedRoot } from './backup-root.ts';
import { backupSettings, requirePrograms } from './backup-run.ts';
import {
  type CommandContext,
  type CommandOutcome,
  confirmed,
  declined,
  type Given,
  requireSomebody,
  settleAnswers,
  usage,
} from './context.ts';
import { endSyncHold, holdSync, meetsSync } from './restore-hold.ts';

type Place = Pick<RestorePlan, 'how' | 'folder'> & { readonly path: string };

/**
 * `cmsadm backup restore`: single files or all, into a folder or over a mounted root. Over `/` of this server, while it
 * runs, only when asked for with its name typed.
 * @throws CmsadmError those of restoreBackup, restore-over-running, full-backup-missing
 */
export async function backupRestore(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const { host, report } = context;
  const settings = backupSettings(context);
  refuseBoth(given);
  const found = await settleBackup(context, given);
  if (!found) return declined(context, 'backup restore');
  const facts = await factsOfFound(found);
  await requirePrograms([
    ...programsFor(facts.format, facts.compression),
    ...(facts.format === 'cpio' ? ['setfattr', 'tar'] : []),
  ]);
  const full = facts.of === undefined ? undefined : findFull(context, given, found, facts.of);
  const place = await settlePlace(context, given);
  if (!place) return declined(context, 'backup restore');
  requireSomebody(context);
  const paths = await settleFiles(context, given);
  if (paths === 'q') return declined(context, 'backup restore');
  const tag = `zdt_${context.pid}_${Math.trunc(host.system.clock() / 1000)}`;
  const plan: RestorePlan = {
    archives: [...(full ? [full.place] : []), found.place],
    how: place.how,
    folder: place.folder,
    tag,
    ...(paths === undefined ? {} : { paths }),
  };
  const isHeld = meetsSync(host, context.profile, plan);
  const told = {
    ...{ name: facts.name, from: found.path, how: place.how, folder: place.path },
    ...(full ? { full: full.path } : {}),
    ...(paths ? { paths } : {}),
  };
  report.show({
    kind: 'review',
    review: { operation: `restore ${facts.name}`, tag, servers: [], notes: notesOf(facts, place, full, paths, isHeld) },
  });
  if (context.dryRun)
    return { exitCode: exitCodes.pending, summary: 'backup restore: dry run', result: { outcome: 'pending', ...told } };
  if (!(await confirmed(context))) return declined(context, 'backup restore');
  const restored = await attempt(context, plan, facts, settings.log, isHeld);
  return outcomeOf(context, facts, place, restored, told);
}

function refuseBoth(given: Given): void {
  const { into, over } = backupRestoreParameters;
  if (given[into.name] !== undefined && given[over.name] !== undefined)
    throw usage('--into and --over exclude each other.', 'Give one of them.');
}

async function factsOfFound({ place, path }: Found): Promise<BackupFacts> {
  const facts = await readFactsOf(place);
  if (facts) return facts;
  throw damagedArchive(`${path} does not begin like a backup.`);
}

/** The full backup that an incremental one stands on: as given, as remembered, or beside it. */
function findFull(context: CommandContext, given: Given, { path }: Found, of: string): Found {
  const typed = given[backupRestoreParameters.full.name];
  if (typed !== undefined) return findBackup(context, typed);
  for (const candidate of [of, join(dirname(path), of)]) {
    try {
      return findBackup(context, candidate);
    } catch (error) {
      if (!(error instanceof CmsadmError)) throw error;
    }
  }
  throw new CmsadmError('full-backup-missing', `A restore needs the full backup as well: ${of}.`, {
    remedy: 'Give it with --full PATH',
  });
}

/** Where to: as the flags say, or as it is asked. @returns undefined where the operator left */
async function settlePlace(context: CommandContext, given: Given): Promise<Place | undefined> {
  const { into, over, where } = backupRestoreParameters;
  const isAsked = given[into.name] === undefined && given[over.name] === undefined && context.ask !== undefined;
  const way = isAsked
    ? (await settleAnswers([{ parameter: where, preset: '1', check: wayOf }], {}, context))[where.name]
    : 'into';
  if (way === 'q') return undefined;
  if (way === 'over' || given[over.name] !== undefined) return overRoot(context, given);
  const check = (typed: string): string => (typed.trim() === 'q' ? 'q' : newFolder(context, typed));
  const { [into.name]: path = 'q' } = await settleAnswers([{ parameter: into, check }], given, context);
  return path === 'q' ? undefined : { how: 'into', path, folder: at(context.host.root, path) };
}

function wayOf(typed: string): string {
  const text = typed.trim();
  if (text === '1' || text === 'into') return 'into';
  if (text === '2' || text === 'over') return 'over';
  if (text === 'q') return text;
  throw usage(
    `${JSON.stringify(text.slice(0, 60))} is no choice.`,
    'Type 1 (into a folder) or 2 (over a root), or q to leave.',
  );
}

/** Which files: as given, or asked where somebody is asked. @returns undefined for all of them, 'q' where they left */
async function settleFiles(context: CommandContext, given: Given): Promise<readonly string[] | undefined | 'q'> {
  const { files } = backupRestoreParameters;
  if (given[files.name] === undefined && !context.ask) return undefined;
  const check = (typed: string): string => {
    const odd = typed.trim() === 'q' ? undefined : pathsIn(typed).find((path) => path.split('/').includes('..'));
    if (odd === undefined) return typed.trim();
    throw usage(`${JSON.stringify(odd)} is no path of a backup.`, 'Give paths as the server has them: /etc/hosts');
  };
  const { [files.name]: typed = '' } = await settleAnswers([{ parameter: files, preset: '', check }], given, context);
  if (typed === 'q') return 'q';
  // Given, but empty: nothing is what was not asked for.
  return typed === '' && given[files.name] === undefined ? undefined : pathsIn(typed);
}

const pathsIn = (typed: string): string[] => typed.split(',').filter((path) => path.trim() !== '');

/** @throws CmsadmError folder-unusable */
function newFolder({ host }: CommandContext, typed: string): string {
  const path = typed.trim().replace(/(.)\/+$/, '$1');
  const refused = (why: string): CmsadmError =>
    new CmsadmError('folder-unusable', `${path === '' ? 'Nothing' : path} ${why}`, {
      remedy: 'Give the full path of a new or empty folder whose parent is there.',
    });
  if (!path.startsWith('/') || path === '/' || path.split('/').includes('..')) throw refused('is no full path.');
  const folder = at(host.root, path);
  if (!fs.existsSync(dirname(folder))) throw refused('lies in no folder that is there.');
  const stat = fs.lstatSync(folder, { throwIfNoEntry: false });
  if (stat && !stat.isDirectory()) throw refused('is there, and is no folder.');
  if (stat && fs.readdirSync(folder).length > 0) throw refused('is not empty.');
  if (stat && mountsNow().some(({ point }) => point === fs.realpathSync(folder)))
    throw refused('is where a file system is mounted: --over restores onto that.');
  return path;
}

/** @throws CmsadmError folder-unusable, restore-over-running */
async function overRoot(context: CommandContext, given: Given): Promise<Place | undefined> {
  const { over } = backupRestoreParameters;
  const check = (typed: string): string => (typed.trim() === 'q' ? 'q' : mountedRoot(context.host, typed).path);
  const { [over.name]: path = 'q' } = await settleAnswers([{ parameter: over, check }], given, context);
  if (path === 'q') return undefined;
  const root = mountedRoot(context.host, path);
  if (root.path === '/' && !(await nameTyped(context, given))) return undefined;
  return { how: 'over', ...root };
}

/** Over the server that runs: its name has to be typed. @returns false where they left @throws CmsadmError restore-over-running */
async function nameTyped(context: CommandContext, given: Given): Promise<boolean> {
  const { server } = backupRestoreParameters;
  const { hostname } = await context.host.system.identity();
  const refused = (): CmsadmError =>
    new CmsadmError('restore-over-running', `/ is this server itself, ${hostname}, and it runs.`, {
      remedy: `Restore into a folder, or boot another system and mount this one. To do it all the same: --server ${hostname}`,
    });
  const isAsked = given[server.name] === undefined;
  if (isAsked && !context.ask) throw refused();
  const check = (typed: string): string => {
    const text = typed.trim();
    if (text === hostname || (isAsked && text === 'q')) return text;
    throw refused();
  };
  const answers = await settleAnswers([{ parameter: server, check }], given, context);
  return answers[server.name] === hostname;
}

const notesOf = (
  facts: BackupFacts,
  place: Place,
  full: Found | undefined,
  paths: readonly string[] | undefined,
  isHeld: boolean,
) => [
  `Made ${facts.made} on ${facts.server}, load ${facts.load}.`,
  ...(full ? [`First the full backup ${full.path}, then what changed since.`] : []),
  paths ? `Only: ${paths.join(', ')}` : 'All that is in it.',
  place.how === 'into'
    ? `Into ${place.path}, which appears when all is there.`
    : paths
      ? `Over ${place.path}; what is replaced is kept beside it under the tag, and all of it changes or none.`
      : `Over ${place.path}: all of it changes or none. What is there and not in the backup stays.`,
  ...(isHeld ? ['Admin-sync is held meanwhile, and goes on with one full pass.'] : []),
];

/** @param isHeld whether nothing is sent to the other server meanwhile */
async function attempt(
  context: CommandContext,
  plan: RestorePlan,
  facts: BackupFacts,
  log: string,
  isHeld: boolean,
): Promise<Restored> {
  const { host, report, operator, stop } = context;
  const tell = (text: string): void => logBackup(host, log, `${operator} ${facts.name}: ${text}`);
  const { hostname } = await host.system.identity();
  const claim = { operation: `restore of ${facts.name}`, operator, startedOn: hostname };
  tell(`restore begins, ${plan.how} ${plan.folder}`);
  let held: string | undefined;
  const goOn = async (): Promise<void> => {
    const tag = held;
    held = undefined;
    if (tag !== undefined) await endSyncHold(context, tag);
  };
  try {
    const restored = await running(host, claim, { blocks: undefined, warn: report.warn }, async (noted) => {
      // Whoever finds this one dead ends it.
      if (isHeld) held = await holdSync(context, plan.tag);
      const done = await restoreBackup(host, plan, report, stop, noted);
      await goOn();
      return done;
    });
    tell(`restored ${plan.how} ${plan.folder}: ${count(restored.files, 'file')}`);
    return restored;
  } catch (error) {
    tell(`restore failed: ${error instanceof Error ? error.message : String(error)}`);
    // Put back by now. Where it stands half way, it stays held until that is settled.
    if (!isUnsettled(plan.folder)) await goOn();
    throw error;
  }
}

function outcomeOf(
  { report }: CommandContext,
  facts: BackupFacts,
  place: Place,
  { files, withThem, kept }: Restored,
  told: Readonly<Record<string, unknown>>,
): CommandOutcome {
  report.show({
    kind: 'result',
    title: `${count(files, 'file')} of ${facts.name} restored ${place.how} ${place.path}.`,
    servers: [],
    notes: [
      ...withThem.map(
        (name) => `Restored as well, because it is another name of a file: ${printableBytes(pathOf(name))}`,
      ),
      ...kept.slice(0, 20).map((path) => `Kept: ${path}`),
    ],
  });
  return {
    exitCode: exitCodes.done,
    summary: `backup restore: ${facts.name} ${place.how} ${place.path}`,
    result: { outcome: 'done', ...told, files, alsoRestored: withThem.map((name) => pathOf(name)), kept: [...kept] },
  };
}
