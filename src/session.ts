import { places as backupPlaces } from './backup/places.ts';
import { transactions } from './change/journal.ts';
import { lockOwner } from './change/lock.ts';
import type { CommandContext, CommandOutcome, GoesOn } from './commands/context.ts';
import { CmsadmError, type ExitCode, exitCodes, explained } from './errors.ts';
import { at } from './host/root.ts';
import type { Host } from './host/system.ts';
import { type AdminLog, openAdminLog } from './pair/admin-log.ts';
import { profileOfServer } from './profile/load.ts';
import { programRoot } from './program-root.ts';
import type { Asker } from './report.ts';
import type { makeReport } from './screen/render.ts';

type Renderer = ReturnType<typeof makeReport>;

/** What the command line says before any command. */
export type GlobalOptions = {
  readonly root: string;
  readonly json: boolean;
  readonly yes: boolean;
  readonly dryRun: boolean;
};

/** This server, or the rehearsal server in a folder. */
export async function hostOf(root: string, tell: (text: string) => void): Promise<Host> {
  if (root !== '/') return (await import('./rehearsal/pair-folder.ts')).rehearsalHost(root, programRoot, tell);
  const { realSystem } = await import('./host/real-system.ts');
  return { root: { prefix: '/', ownersCount: true }, system: realSystem(), programRoot };
}

/** Only root administers a real server. @throws CmsadmError not-root */
export function requireRoot(root: string): void {
  if (root === '/' && process.getuid?.() !== 0)
    throw new CmsadmError('not-root', 'Only root may administer this server.', {
      remedy: 'Become root (`su -`), or practise with: npm start',
    });
}

const operatorName = (): string => process.env['SUDO_USER'] ?? process.env['LOGNAME'] ?? process.env['USER'] ?? 'root';

/** What touches nothing of a server stands in no log of it. */
const noLog: AdminLog = { choice: () => undefined, outcome: () => undefined };

/**
 * Makes the context of one run and opens its admin log.
 * @param what as the log calls it; undefined where it touches nothing of this server: then anybody may run it
 * @throws CmsadmError not-root
 */
export async function openContext(
  options: GlobalOptions,
  what: string | undefined,
  report: Renderer,
  ask: Asker | undefined,
): Promise<CommandContext & { readonly stop: { requested: boolean } }> {
  if (what !== undefined) requireRoot(options.root);
  const host = await hostOf(options.root, (text) => report.line(text));
  const operator = operatorName();
  const run = { pid: process.pid, operator, what: what ?? '' };
  const log = what === undefined ? noLog : openAdminLog(host.root, run, host.system.clock, (text) => report.warn(text));
  const profile = profileOfServer(at(host.root, '/'), programRoot);
  const stop = { requested: false };
  const asked = {};
  const context = {
    host,
    profile,
    report,
    ask,
    log,
    operator,
    stop,
    asked,
    yes: options.yes,
    dryRun: options.dryRun,
    pid: process.pid,
  };
  // Without a server to leave in order, a signal just ends the program.
  if (what !== undefined) onSignals(context, report);
  return context;
}

/**
 * Ctrl-C and a lost terminal: while a change runs it is put back on both servers first; before that the run just ends.
 */
function onSignals(context: CommandContext & { stop: { requested: boolean } }, report: Renderer): void {
  const leave = (): void => {
    if (lockOwner(context.host)?.pid === process.pid) {
      if (!context.stop.requested)
        report.warn('Interrupted: finishing the step that runs; what is not decided yet is put back then.');
      context.stop.requested = true;
      return;
    }
    if (lockOwner(context.host, backupPlaces.lock)?.pid === process.pid) {
      if (!context.stop.requested) report.warn('Interrupted: taking away what was begun.');
      context.stop.requested = true;
      return;
    }
    // That is how one leaves it: no error.
    if (report.isLive()) {
      context.log.outcome('ended by the operator');
      process.exit(exitCodes.interrupted);
    }
    const { text, remedy } = context.asked.goesOn ?? leftBehind(context);
    context.log.outcome(`interrupted; ${text}`);
    const facts = { exitCode: exitCodes.interrupted, remedy };
    report.failure(new CmsadmError('interrupted', `Interrupted; ${text}.`, facts));
    process.exit(exitCodes.interrupted);
  };
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.removeAllListeners(signal).on(signal, leave);
}

/** What an interruption finds where nobody else goes on. */
function leftBehind({ host }: CommandContext): GoesOn {
  return transactions(host.root).some((id) => id.startsWith(`zdt_${process.pid}_`))
    ? { text: 'what was changed before stands', remedy: 'See how the servers stand: cmsadm config_HA show' }
    : { text: 'nothing was touched', remedy: 'Run it again.' };
}

/** Runs one command; its outcome, good or bad, is the admin log's last line. */
export async function runLogged(
  context: CommandContext & { readonly stop: { requested: boolean } },
  report: Renderer,
  work: () => Promise<CommandOutcome>,
): Promise<ExitCode> {
  try {
    context.stop.requested = false; // an earlier operation of the same menu may have been interrupted
    const outcome = await work();
    context.log.outcome(outcome.summary);
    if (outcome.error) report.failure(outcome.error, { exitCode: outcome.exitCode, ...outcome.result });
    else report.result({ exitCode: outcome.exitCode, ...outcome.result });
    return outcome.exitCode;
  } catch (thrown) {
    const error = explained(thrown);
    report.failure(error);
    const exitCode = error instanceof CmsadmError ? error.exitCode : exitCodes.bug;
    context.log.outcome(`failed (${exitCode}): ${error instanceof Error ? error.message : String(error)}`);
    return exitCode;
  }
}
