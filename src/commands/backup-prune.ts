import * as fs from 'node:fs';
import { logBackup } from '../backup/backup-log.ts';
import { type CatalogueEntry, forget, readCatalogue, whereabouts } from '../backup/catalogue.ts';
import { sizeText } from '../backup/progress.ts';
import { planRetention } from '../backup/retention.ts';
import { running } from '../backup/running.ts';
import { CmsadmError, exitCodes } from '../errors.ts';
import { at } from '../host/root.ts';
import { count } from '../printable.ts';
import { during } from '../report.ts';
import { backupPruneParameters } from './backup-parameters.ts';
import { backupSettings } from './backup-run.ts';
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

/** `cmsadm backup prune`: removes old backups by a rule; the newest of each kind stays, and what others stand on. */
export async function backupPrune(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const { host, report } = context;
  const settings = backupSettings(context);
  const { keep, days } = backupPruneParameters;
  const left = (typed: string | undefined): boolean => context.ask !== undefined && typed?.trim() === 'q';
  const check = (least: number) => (typed: string) => (left(typed) ? 'q' : numberOf(typed, least));
  const asked = [
    { parameter: keep, preset: String(settings.keep.count), check: check(1) },
    { parameter: days, preset: String(settings.keep.days), check: check(0) },
  ];
  const answers: Record<string, string> = {};
  for (const slots of context.ask ? asked.map((slot) => [slot]) : [asked]) {
    Object.assign(answers, await settleAnswers(slots, given, context));
    if (Object.values(answers).some(left)) return declined(context, 'backup prune');
  }
  requireSomebody(context);
  const rule = { count: Number(answers[keep.name]), days: Number(answers[days.name]) };
  const all = readCatalogue(host.root);
  const { goes, stays } = planRetention(
    all,
    rule,
    (entry) => whereabouts(host.root, entry) === 'there',
    host.system.clock(),
  );
  const told = {
    rule,
    goes: goes.map(({ name, path, bytes, isDevice }) => ({
      name,
      path,
      bytes,
      what: isDevice ? 'forgotten' : 'removed',
    })),
  };
  const notes = [
    ...goes.map(
      (one) => `${one.name}: ${one.isDevice ? 'only forgotten, it is on a device' : one.path}, ${sizeText(one.bytes)}`,
    ),
    `${count(stays.length, 'backup')} ${stays.length === 1 ? 'stays' : 'stay'}.`,
  ];
  report.show({ kind: 'review', review: { operation: 'remove old backups', tag: '', servers: [], notes } });
  if (goes.length === 0)
    return {
      exitCode: exitCodes.done,
      summary: 'backup prune: nothing to do',
      result: { outcome: 'nothing', ...told },
    };
  if (context.dryRun)
    return { exitCode: exitCodes.pending, summary: 'backup prune: dry run', result: { outcome: 'pending', ...told } };
  if (!(await confirmed(context))) return declined(context, 'backup prune');
  const { hostname } = await host.system.identity();
  const claim = { operation: 'remove old backups', operator: context.operator, startedOn: hostname };
  await running(host, claim, { blocks: undefined, warn: report.warn }, () =>
    during(report, `Removing ${count(goes.length, 'old backup')}`, async () => {
      for (const entry of goes) remove(context, entry, settings.log);
    }),
  );
  return {
    exitCode: exitCodes.done,
    summary: `backup prune: ${goes.map(({ name }) => name).join(', ')}`,
    result: { outcome: 'done', ...told },
  };
}

/** The file first: what is forgotten but still there nobody would find. */
function remove({ host, operator, stop }: CommandContext, entry: CatalogueEntry, log: string): void {
  if (stop.requested) throw new CmsadmError('interrupted', 'Interrupted.', { exitCode: exitCodes.interrupted });
  if (!entry.isDevice && whereabouts(host.root, entry) !== 'gone') fs.rmSync(at(host.root, entry.path));
  forget(host.root, entry.name);
  logBackup(host, log, `${operator} ${entry.name}: removed from ${entry.path}`);
}

function numberOf(typed: string, least: number): string {
  const text = typed.trim();
  if (/^\d{1,5}$/.test(text) && Number(text) >= least) return String(Number(text));
  throw usage(`${JSON.stringify(text)} is no such number.`, `Type a number from ${least} to 99999.`);
}
