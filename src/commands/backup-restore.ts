import * as fs from 'node:fs';
import { dirname, join } from 'node:path';
import { programsFor } from '../backup/archiver.ts';
import { logBackup } from '../backup/backup-log.ts';
import type { BackupFacts } from '../backup/facts.ts';
import { mountsNow } from '../backup/mounts.ts';
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
import { backupSettings, requirePrograms, tellStanding } from './backup-run.ts';
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

type Place = Pick<RestorePlan, 'how' | 'folder'> & { readonly path: string };

/**
 * `cmsadm backup restore`: single files or all, into a folder or over a mounted root. Over `/` of this server, while it
 * runs, only when asked for with its name typed.
 * @throws CmsadmError those of restoreBackup, restore-over-running, full-backup-missing
 */
export async function backupRestore(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const { host, report } = context;
  const settings = backupSettings(context);
  tellStanding(context);
  refuseBoth(given);
  const found = await settleBackup(context, given);
  const facts = await factsOfFound(found);
  await requirePrograms([
    ...programsFor(facts.format, facts.compression),
    ...(facts.format === 'cpio' ? ['setfattr', 'tar'] : []),
  ]);
  const full = facts.of === undefined ? undefined : findFull(context, given, found, facts.of);
  const place = await settlePlace(context, given);
  if (!place) return declined(context, 'backup restore');
  requireSomebody(context);
  const paths = given[backupRestoreParameters.files.name]?.split(',').filter((path) => path.trim() !== '');
  const tag = `zdt_${context.pid}_${Math.trunc(host.system.clock() / 1000)}`;
  const plan: RestorePlan = {
    archives: [...(full ? [full.place] : []), found.place],
    how: place.how,
    folder: place.folder,
    tag,
    ...(paths === undefined ? {} : { paths }),
  };
  const told = {
    ...{ name: facts.name, from: found.path, how: place.how, folder: place.path },
    ...(full ? { full: full.path } : {}),
    ...(paths ? { paths } : {}),
  };
  report.show({
    kind: 'review',
    review: { operation: `restore ${facts.name}`, tag, servers: [], notes: notesOf(facts, place, full, paths) },
  });
  if (context.dryRun)
    return { exitCode: exitCodes.pending, summary: 'backup restore: dry run', result: { outcome: 'pending', ...told } };
  if (!(await confirmed(context))) return declined(context, 'backup restore');
  const restored = await attempt(context, plan, facts, settings.log);
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

async function settlePlace(context: CommandContext, given: Given): Promise<Place | undefined> {
  const { into, over } = backupRestoreParameters;
  const root = given[over.name];
  if (root !== undefined) return overRoot(context, given, root);
  const check = (typed: string): string => (typed.trim() === 'q' ? 'q' : newFolder(context, typed));
  const { [into.name]: path = 'q' } = await settleAnswers([{ parameter: into, check }], given, context);
  return path === 'q' ? undefined : { how: 'into', path, folder: at(context.host.root, path) };
}

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
async function overRoot(context: CommandContext, given: Given, typed: string): Promise<Place> {
  const root = mountedRoot(context.host, typed);
  if (root.path === '/') await requireName(context, given);
  return { how: 'over', ...root };
}

/** Over the server that runs: its name has to be typed. @throws CmsadmError restore-over-running */
async function requireName(context: CommandContext, given: Given): Promise<void> {
  const { server } = backupRestoreParameters;
  const { hostname } = await context.host.system.identity();
  const refused = (): CmsadmError =>
    new CmsadmError('restore-over-running', `/ is this server itself, ${hostname}, and it runs.`, {
      remedy: `Restore into a folder, or boot another system and mount this one. To do it all the same: --server ${hostname}`,
    });
  if (given[server.name] === undefined && !context.ask) throw refused();
  const check = (typed: string): string => {
    if (typed.trim() === hostname) return hostname;
    throw refused();
  };
  await settleAnswers([{ parameter: server, check }], given, context);
}

const notesOf = (facts: BackupFacts, place: Place, full: Found | undefined, paths: readonly string[] | undefined) => [
  `Made ${facts.made} on ${facts.server}, load ${facts.load}.`,
  ...(full ? [`First the full backup ${full.path}, then what changed since.`] : []),
  paths ? `Only: ${paths.join(', ')}` : 'All that is in it.',
  place.how === 'into'
    ? `Into ${place.path}, which appears when all is there.`
    : paths
      ? `Over ${place.path}; what is replaced is kept beside it under the tag, and all of it changes or none.`
      : `Over ${place.path}: all of it changes or none. What is there and not in the backup stays.`,
];

async function attempt(context: CommandContext, plan: RestorePlan, facts: BackupFacts, log: string): Promise<Restored> {
  const { host, report, operator, stop } = context;
  const tell = (text: string): void => logBackup(host, log, `${operator} ${facts.name}: ${text}`);
  const { hostname } = await host.system.identity();
  const claim = { operation: `restore of ${facts.name}`, operator, startedOn: hostname };
  tell(`restore begins, ${plan.how} ${plan.folder}`);
  try {
    const restored = await running(host, claim, { blocks: undefined, warn: report.warn }, (noted) =>
      restoreBackup(host, plan, report, stop, noted),
    );
    tell(`restored ${plan.how} ${plan.folder}: ${restored.files} files`);
    return restored;
  } catch (error) {
    tell(`restore failed: ${error instanceof Error ? error.message : String(error)}`);
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
