import { remember } from '../backup/catalogue.ts';
import { progressOf, sizeText } from '../backup/progress.ts';
import { forgetPages, type Verified, verifyArchive } from '../backup/read-archive.ts';
import { CmsadmError, exitCodes } from '../errors.ts';
import { count } from '../printable.ts';
import { during } from '../report.ts';
import { type Found, settleBackup } from './backup-find.ts';
import { requirePrograms } from './backup-run.ts';
import { type CommandContext, type CommandOutcome, declined, type Given } from './context.ts';

/**
 * `cmsadm backup verify`: reads a backup from its beginning to its end and holds every member against its manifest.
 * @throws CmsadmError archive-damaged
 */
export async function backupVerify(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const found = await settleBackup(context, given);
  if (!found) return declined(context, 'backup verify');
  const verified = await readThrough(context, found);
  const { facts, lines, damaged } = verified;
  const told = { name: facts.name, path: found.path, files: lines.length, damaged };
  if (damaged.length > 0)
    return {
      exitCode: exitCodes.needsPerson,
      summary: `backup verify: ${facts.name} is damaged`,
      result: { outcome: 'damaged', ...told },
      error: new CmsadmError('archive-damaged', `${facts.name} is damaged: ${count(damaged.length, 'member')}.`, {
        exitCode: exitCodes.needsPerson,
        file: found.path,
        details: damaged.slice(0, 20),
        remedy: 'Make a new one. What is not named here can still be restored by hand with the archiver itself.',
      }),
    };
  if (found.entry)
    remember(context.host.root, { ...found.entry, verified: new Date(context.host.system.clock()).toISOString() });
  context.report.line(`${facts.name} is whole: ${count(lines.length, 'member')} as they were written.`);
  return {
    exitCode: exitCodes.done,
    summary: `backup verify: ${facts.name} is whole`,
    result: { outcome: 'whole', ...told },
  };
}

/** Reads a backup through, with its progress. */
export async function readThrough(context: CommandContext, { place, entry, path }: Found): Promise<Verified> {
  const { report, host, stop } = context;
  if (entry) await requirePrograms(entry.compression === 'none' ? [] : [entry.compression]);
  await forgetPages(place.file);
  const total = entry?.bytes ?? 0;
  return during(report, `Reading ${path}${total > 0 ? `, ${sizeText(total)}` : ''}`, () =>
    verifyArchive(place, { stop, progress: progressOf(report, 'Reading', total, host.system.elapsed) }),
  );
}
