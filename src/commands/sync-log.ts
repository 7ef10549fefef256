import { exitCodes } from '../errors.ts';
import { readText } from '../host/root.ts';
import { removeIfThere } from '../host/writing.ts';
import { paths } from '../pair/state.ts';
import { count } from '../printable.ts';
import { type CommandContext, type CommandOutcome, confirmed, declined, type Given, usage } from './context.ts';
import { syncParameters } from './parameters.ts';

/** Lines that are shown. */
const LAST = 20;

/** The last full passes of this server, one line each; `clean`, as a word or a flag, empties the log. */
export async function syncLog(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const word = given[syncParameters.clean.name];
  const isClean = word === 'clean' || word === '';
  if (word !== undefined && !isClean)
    throw usage('`sync log` knows only `clean`.', 'cmsadm sync log, or cmsadm sync log --clean');
  const { host, report } = context;
  const lines = (readText(host.root, paths.syncLog) ?? '').split('\n').filter((line) => line !== '');
  if (isClean) return clean(context, lines.length);
  const last = lines.slice(-LAST).map((line) => Buffer.from(line, 'latin1').toString());
  for (const line of last) report.line(line);
  if (last.length === 0) report.line('No full pass was logged on this server yet.');
  return { exitCode: exitCodes.done, summary: 'sync log: shown', result: { outcome: 'done', lines: last } };
}

async function clean(context: CommandContext, lines: number): Promise<CommandOutcome> {
  const { host, report, dryRun } = context;
  if (lines === 0) {
    report.line('The log is empty.');
    return { exitCode: exitCodes.done, summary: 'sync log: empty', result: { outcome: 'nothing to do' } };
  }
  report.line(`${paths.syncLog}: ${count(lines, 'line')}. They go for good.`);
  if (!dryRun && !context.yes && !context.ask) throw usage('Nobody is there to say yes.', 'Give --yes to empty it.');
  if (dryRun)
    return { exitCode: exitCodes.pending, summary: 'sync log: not cleaned', result: { outcome: 'pending', lines } };
  if (!(await confirmed(context))) return declined(context, 'sync log clean');
  // The service opens it anew for each line.
  removeIfThere(host.root, paths.syncLog);
  report.line('The log is empty.');
  return {
    exitCode: exitCodes.done,
    summary: `sync log: ${count(lines, 'line')} removed`,
    result: { outcome: 'done', removed: lines },
  };
}
