import { sizeText } from '../backup/progress.ts';
import { pathOf } from '../backup/scan.ts';
import { exitCodes } from '../errors.ts';
import { count, printableBytes } from '../printable.ts';
import { settleBackup } from './backup-find.ts';
import { backupShowParameters } from './backup-parameters.ts';
import { readThrough } from './backup-verify.ts';
import { type CommandContext, type CommandOutcome, declined, type Given } from './context.ts';

/** `cmsadm backup show`: what a backup is and, with --files, what is in it. */
export async function backupShow(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const { report } = context;
  const found = await settleBackup(context, given);
  if (!found) return declined(context, 'backup show');
  const { facts, lines, damaged } = await readThrough(context, found);
  const isListed = given[backupShowParameters.files.name] !== undefined;
  const bytes = lines.reduce((sum, { size }) => sum + size, 0);
  const rows: readonly (readonly [string, string])[] = [
    ['Backup', facts.name],
    ['Kind', `${facts.kind}${facts.of === undefined ? '' : `, stands on ${facts.of}`}`],
    ['Made', `${facts.made} on ${facts.server}, by cmsadm ${facts.program}`],
    ['Product', `${facts.profile}, release ${facts.release}, load ${facts.load}`],
    ['Format', `${facts.format}, compression ${facts.compression}`],
    ['Saved', facts.include.join(', ')],
    ['Left out', facts.exclude.join(', ') || 'nothing'],
    ['Holds', `${count(lines.length, 'member')}, ${sizeText(bytes)}`],
    ['State', damaged.length === 0 ? 'whole' : `damaged: ${damaged.slice(0, 5).map(printableBytes).join(', ')}`],
  ];
  for (const [label, value] of rows) report.line(`${label.padEnd(10)}${value}`);
  if (isListed)
    for (const { name, kind, size } of lines)
      report.line(`${kind.padEnd(10)}${String(size).padStart(12)}  ${printableBytes(pathOf(name))}`);
  return {
    exitCode: exitCodes.done,
    summary: `backup show: ${facts.name}`,
    result: {
      outcome: 'shown',
      path: found.path,
      ...facts,
      files: lines.length,
      contentBytes: bytes,
      damaged: [...damaged],
      ...(isListed ? { members: lines.map(({ name, kind, size }) => ({ path: pathOf(name), kind, size })) } : {}),
    },
  };
}
