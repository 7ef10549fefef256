import { programsFor } from '../backup/archiver.ts';
import { logBackup } from '../backup/backup-log.ts';
import { readCatalogue, whereabouts } from '../backup/catalogue.ts';
import { type BackupKind, nameOfBackup } from '../backup/facts.ts';
import { type Compression, compressions, type FormatName, formatNames } from '../backup/formats.ts';
import { type Listed, listFiles } from '../backup/listing.ts';
import { loginsBlockedBy } from '../backup/logins.ts';
import { type BackupPlan, type Made, makeBackup } from '../backup/make-backup.ts';
import { places } from '../backup/places.ts';
import { durationText, sizeText } from '../backup/progress.ts';
import { backupRunning, running } from '../backup/running.ts';
import { deviceTarget, folderTarget, type Held, heldOn, requireRoom, type Target } from '../backup/target.ts';
import { CmsadmError, exitCodes } from '../errors.ts';
import { run } from '../host/processes.ts';
import { versionOf } from '../host/program-version.ts';
import { at, readText } from '../host/root.ts';
import { parseKeyValues } from '../pair/facts.ts';
import { count } from '../printable.ts';
import type { Profile } from '../profile/schema.ts';
import { during } from '../report.ts';
import { backupParameters } from './backup-parameters.ts';
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

export type BackupSettings = NonNullable<Profile['backup']>;

/** @throws CmsadmError no-backup-profile */
export function backupSettings({ profile }: Pick<CommandContext, 'profile'>): BackupSettings {
  if (profile.backup) return profile.backup;
  throw new CmsadmError('no-backup-profile', `The profile "${profile.name}" does not say what a backup saves.`, {
    remedy: 'Give it a block "backup"; docs/administration.md, "backup", shows its form.',
  });
}

/** How things stand: the last backups, what runs, who blocks log-ins. */
export function tellStanding({ host, report }: CommandContext): void {
  const [last] = readCatalogue(host.root);
  report.line(
    last
      ? `The last backup: ${last.name}, ${sizeText(last.bytes)}, in ${last.path} (${whereabouts(host.root, last)}).`
      : 'This server knows of no backup.',
  );
  const owner = backupRunning(host);
  if (owner) report.line(`Running: ${owner.operation}, by ${owner.operator}, since ${owner.since}.`);
  const blockedBy = loginsBlockedBy(host.root);
  if (blockedBy !== 'nobody') report.line(`New log-ins are blocked by ${blockedBy} (${places.nologin}).`);
}

/** Asks for device and path. @returns undefined where the operator left */
export async function settleTarget(
  context: CommandContext,
  given: Given,
  settings: BackupSettings,
  alsoMissing: readonly string[] = [],
): Promise<Target | undefined> {
  const { device, path } = backupParameters;
  const pathMissing = given[path.name] === undefined && given[device.name] === undefined;
  const { [device.name]: chosen } = await settleAnswers([{ parameter: device, check: deviceOf }], given, context, [
    ...alsoMissing,
    ...(pathMissing && !context.ask ? [`--${path.name}: ${path.help}`] : []),
  ]);
  if (chosen === 'q') return undefined;
  const { root } = context.host;
  const targetOf = (typed: string): Target =>
    (chosen === 'tape' ? deviceTarget : folderTarget)(root, typed, settings.dataDisks);
  const check = (typed: string): string => (typed.trim() === 'q' ? 'q' : targetOf(typed).path);
  const { [path.name]: where = 'q' } = await settleAnswers([{ parameter: path, check }], given, context);
  return where === 'q' ? undefined : targetOf(where);
}

function deviceOf(typed: string): string {
  const text = typed.trim();
  if (text === '1' || text === 'tape') return 'tape';
  if (text === '2' || text === 'other') return 'other';
  if (text === 'q') return 'q';
  throw usage(
    text === '' ? 'No device was chosen.' : `${JSON.stringify(text)} is no choice.`,
    'Type 1 (tape) or 2 (other), or q to leave.',
  );
}

/** What is preset unless it was given, checked before anything else. @throws CmsadmError usage, program-missing */
export async function settleForm(
  given: Given,
): Promise<{ readonly format: FormatName; readonly compression: Compression; readonly readsBack: boolean }> {
  const one = <Choice extends string>(name: string, known: readonly Choice[], preset: Choice): Choice => {
    const typed = given[name] ?? preset;
    const found = known.find((choice) => choice === typed);
    if (found === undefined) throw usage(`--${name} ${JSON.stringify(typed)} is none.`, `Give ${known.join(' or ')}.`);
    return found;
  };
  const format = one(backupParameters.format.name, formatNames, 'tar');
  const compression = one(backupParameters.compress.name, compressions, 'none');
  await requirePrograms(programsFor(format, compression));
  return { format, compression, readsBack: given[backupParameters.noReadBack.name] === undefined };
}

/** @throws CmsadmError program-missing */
export async function requirePrograms(programs: readonly string[]): Promise<void> {
  const codes = await Promise.all(programs.map((program) => run([program, '--version'])));
  const missing = programs.filter((_, i) => codes[i]?.exitCode === 127);
  if (missing.length > 0)
    throw new CmsadmError('program-missing', `This server does not have ${missing.join(' and ')}.`, {
      remedy: 'Install it (getfattr is in the package attr), or choose another format or compression.',
    });
}

/** The facts of a backup that is made now. */
export async function factsOf(
  context: CommandContext,
  kind: BackupKind,
  form: { readonly format: FormatName; readonly compression: Compression },
  saved: { readonly include: readonly string[]; readonly exclude: readonly string[] },
): Promise<BackupPlan['facts']> {
  const { host, profile } = context;
  const clock = host.system.clock();
  const { hostname } = await host.system.identity();
  const told = parseKeyValues(readText(host.root, profile.release.path) ?? '');
  const load = told[profile.release.load] ?? 'unknown';
  return {
    version: 1,
    name: nameOfBackup(kind, load, clock, hostname),
    kind,
    ...form,
    server: hostname,
    profile: profile.name,
    release: told[profile.release.release] ?? 'unknown',
    load,
    made: new Date(clock).toISOString(),
    program: versionOf(host.programRoot),
    include: [...saved.include],
    exclude: [...saved.exclude],
  };
}

/** Shows the plan, asks, makes the backup, and tells what came of it. */
export async function runBackup(
  context: CommandContext,
  plan: BackupPlan,
  settings: BackupSettings,
  notes: readonly string[],
): Promise<CommandOutcome> {
  const { report } = context;
  requireSomebody(context);
  refuseSecond(context);
  const held = await heldBy(context, plan);
  // With --yes nobody reads the size before: it is counted once, when the backup begins.
  const size = context.yes && !context.dryRun ? undefined : await sizeOf(context, plan);
  const { facts, target } = plan;
  report.show({
    kind: 'review',
    review: {
      operation: operationOf(plan),
      tag: facts.name,
      servers: [],
      notes: [...planNotes(plan, size, held), ...notes],
    },
  });
  const told = planFacts(plan, size);
  if (context.dryRun)
    return {
      exitCode: exitCodes.pending,
      summary: `backup to ${target.path}: dry run`,
      result: { outcome: 'pending', ...told },
    };
  if (!(await confirmed(context))) return declined(context, 'backup');
  const made = await attempt(context, plan, settings);
  tellMade(context, made);
  return {
    exitCode: exitCodes.done,
    summary: `backup: ${facts.name} in ${target.path}`,
    result: {
      outcome: 'done',
      ...told,
      path: made.entry.path,
      bytes: made.entry.bytes,
      files: made.entry.members,
      verified: made.entry.verified,
      meanwhile: [...made.meanwhile].slice(0, 100),
      milliseconds: made.took,
    },
  };
}

function refuseSecond({ host }: CommandContext): void {
  const owner = backupRunning(host);
  if (owner)
    throw new CmsadmError('backup-running', `${owner.operator} runs: ${owner.operation}, since ${owner.since}.`, {
      remedy: `Two of them never run together. Wait until it has ended, or end it: kill ${owner.pid}`,
    });
}

/** What is on the device that it goes to. @throws CmsadmError those of heldOn, overwrites-its-full-backup */
async function heldBy({ host, report }: CommandContext, { target, facts }: BackupPlan): Promise<Held> {
  if (target.kind === 'folder') return 'nothing';
  const held = await during(report, `Looking what is on ${target.path}`, () => heldOn(host.root, target));
  if (typeof held === 'string' || held.name !== facts.of) return held;
  throw new CmsadmError(
    'overwrites-its-full-backup',
    `${target.path} holds ${held.name}, without which this backup cannot be restored.`,
    {
      file: target.path,
      remedy:
        'Give another tape, another device or a folder; or make a full one again: cmsadm backup maintenance --level full',
    },
  );
}

async function sizeOf(
  { host, report }: CommandContext,
  { selection, since, target, facts }: BackupPlan,
): Promise<Listed> {
  const listed = await during(report, 'Counting what is saved', () =>
    listFiles(host.root.prefix, selection, since ? { since: since.seconds } : {}),
  );
  if (target.kind === 'folder') {
    const { freeMb } = await host.system.disk(at(host.root, target.path));
    requireRoom(target.path, freeMb, facts.compression === 'none' ? listed.bytes : listed.bytes / 2);
  }
  return listed;
}

/** Runs it, and writes to the log how it began and how it ended. */
async function attempt(context: CommandContext, plan: BackupPlan, settings: BackupSettings): Promise<Made> {
  const { host, report, operator, stop } = context;
  const { facts, target } = plan;
  const log = (text: string): void => logBackup(host, settings.log, `${operator} ${facts.name}: ${text}`);
  const blocks = facts.kind === 'filesystem' ? facts.name : undefined;
  const claim = { operation: operationOf(plan), operator, startedOn: facts.server };
  log(`begins, to ${target.path}`);
  try {
    const made = await running(host, claim, { blocks, warn: report.warn }, (noted) =>
      makeBackup(host, plan, report, stop, noted),
    );
    for (const line of made.meanwhile.slice(0, 100)) log(line);
    log(
      `done: ${made.entry.bytes} bytes, ${count(made.entry.members, 'file')}, read back: ${made.entry.verified ?? 'no'}`,
    );
    return made;
  } catch (error) {
    log(`failed: ${error instanceof Error ? error.message : String(error)}`);
    throw error;
  }
}

const kindNames: Readonly<Record<BackupKind, string>> = {
  filesystem: 'filesystem backup',
  full: 'full maintenance backup',
  incremental: 'incremental maintenance backup',
};

const operationOf = ({ facts }: BackupPlan): string => kindNames[facts.kind];

function planNotes({ facts, target, readsBack }: BackupPlan, size: Listed | undefined, held: Held): string[] {
  const { name, format, compression, include, exclude, of } = facts;
  return [
    target.kind === 'device'
      ? `${name}, to the device ${target.path}, in blocks of 10240 bytes.`
      : `${target.path}/${name}`,
    ...(held === 'nothing'
      ? []
      : [`Overwrites ${held === 'unknown' ? 'what is on it, which does not tell what it is' : held.name}.`]),
    ...(size ? [`${count(size.files, 'file')}, about ${sizeText(size.bytes)} before any compression.`] : []),
    `Format ${format}, compression ${compression}; ${readsBack ? 'read back when it is written' : 'not read back'}.`,
    `Saved: ${include.join(', ')}. Left out: ${exclude.length === 0 ? 'nothing' : `what is in ${exclude.join(', ')}`}.`,
    ...(of === undefined ? [] : [`What changed since ${of}; a restore needs both.`]),
  ];
}

const planFacts = ({ facts, target, readsBack, since }: BackupPlan, size: Listed | undefined) => ({
  name: facts.name,
  kind: facts.kind,
  format: facts.format,
  compression: facts.compression,
  target: target.path,
  device: target.kind === 'device',
  readsBack,
  ...(since ? { of: since.name } : {}),
  ...(size ? { expected: { files: size.files, bytes: size.bytes } } : {}),
});

function tellMade({ report }: CommandContext, { entry, meanwhile, took }: Made): void {
  const seconds = took.archive / 1000;
  report.show({
    kind: 'result',
    title: `${entry.name} is whole.`,
    servers: [],
    notes: [
      `${entry.path}: ${sizeText(entry.bytes)}, ${count(entry.members, 'file')}, in ${durationText(seconds)} (${sizeText(entry.bytes / Math.max(seconds, 0.001))}/s).`,
      entry.verified === null
        ? 'It was not read back: cmsadm backup verify does that.'
        : `Read back whole in ${durationText(took.readBack / 1000)}.`,
      ...(meanwhile.length === 0
        ? []
        : [`${count(meanwhile.length, 'file')} changed or went while it was made: see the log.`]),
    ],
  });
}
