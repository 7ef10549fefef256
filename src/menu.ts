import { numberedChoice } from './choice.ts';
import type { CommandContext, Given } from './commands/context.ts';
import { CmsadmError, type ExitCode, exitCodes } from './errors.ts';
import { type Operation, operations } from './operations.ts';
import { options } from './options.ts';
import type { makeReport } from './screen/render.ts';
import { runLogged } from './session.ts';
import { syncOperations } from './sync-operations.ts';

/** A numbered list as the original draws it: right-aligned number, bracket, name in a column, description. */
function numberedList(items: readonly { readonly name: string; readonly label: string }[]): string[] {
  const digits = String(items.length).length;
  const width = Math.max(...items.map(({ name }) => name.length)) + 1;
  return items.map(({ name, label }, i) => `${String(i + 1).padStart(digits)}) ${name.padEnd(width)}${label}`);
}

/** The title and the options, before anything else is loaded. */
const menuLines = (title: string, menu: readonly { readonly command: string; readonly label: string }[]): string[] => [
  title,
  '',
  'Select a command from the list below.',
  ...numberedList(menu.map(({ command, label }) => ({ name: command, label }))),
];

/**
 * The administration menu, until the operator leaves it with q.
 * @returns the exit code: 0 after q, 130 after Ctrl-C, an error code at the end of input
 */
export async function runMenu(context: CommandContext, report: ReturnType<typeof makeReport>): Promise<ExitCode> {
  const { ask, profile } = context;
  if (!ask) throw new Error('the menu needs somebody who answers');
  let last = 'left the menu, nothing was done';
  try {
    for (;;) {
      for (const line of menuLines(profile.title, profile.menu)) report.line(line);
      const choice = await numberedChoice(ask, 'Enter choice', profile.menu.length);
      const command = choice === 'q' ? 'q' : (profile.menu[choice - 1]?.command ?? '');
      context.log.choice(`menu=${choice} ${command}`);
      if (choice === 'q') break;
      if (command === 'config_HA') last = (await haMenu(context, report)) ?? last;
      else last = await otherOption(context, report, command);
      report.line('');
    }
  } catch (error) {
    // What interrupted an option was told there.
    if (!(error instanceof CmsadmError) || error.code !== 'left') report.failure(error);
    context.log.outcome(error instanceof Error ? error.message : String(error));
    return error instanceof CmsadmError ? error.exitCode : exitCodes.bug;
  }
  context.log.outcome(last);
  return exitCodes.done;
}

/** Options 1 to 11. @returns how it ended, for the log */
async function otherOption(
  context: CommandContext & { readonly stop: { requested: boolean } },
  report: ReturnType<typeof makeReport>,
  command: string,
): Promise<string> {
  const { host, profile } = context;
  try {
    (await import('./commands/allowed-here.ts')).refuseUnlessAllowed(host, profile, command);
  } catch (error) {
    if (!(error instanceof CmsadmError)) throw error;
    report.failure(error);
    return `${command}: ${error.message}`;
  }
  const option = options.find((one) => one.command === command);
  if (option) {
    report.line('');
    return runChosen(context, report, option.atMenu ?? option.operation);
  }
  report.line(`This version does not have ${command} yet.`);
  return `${command}: not in this version`;
}

/** The last entry of option 12: it opens a menu of its own. */
const syncEntry = { name: 'sync', label: 'Admin-sync: watch it and steer it' } as const;

/** Option 12. @returns what the last operation ended with, for the log */
async function haMenu(context: CommandContext, report: ReturnType<typeof makeReport>): Promise<string | undefined> {
  const chosen = await chooseFrom(context, 'Configure HA (q goes back)', 'config_HA', [...operations, syncEntry]);
  if (chosen === syncEntry) {
    const ofSync = await chooseFrom(context, 'Admin-sync (q goes back)', 'sync', syncOperations);
    return ofSync && runChosen(context, report, ofSync);
  }
  return chosen && 'run' in chosen ? runChosen(context, report, chosen) : undefined;
}

/** One entry of a numbered list, or undefined for q. */
async function chooseFrom<Entry extends { readonly name: string; readonly label: string }>(
  { ask, report, log }: CommandContext,
  title: string,
  logName: string,
  entries: readonly Entry[],
): Promise<Entry | undefined> {
  if (!ask) return undefined;
  report.line('');
  report.line(title);
  for (const line of numberedList(entries)) report.line(line);
  const choice = await numberedChoice(ask, 'Enter choice', entries.length);
  log.choice(`${logName}=${choice}`);
  return choice === 'q' ? undefined : entries[choice - 1];
}

/** What may be given behind a command's name is asked for; just Enter gives nothing. */
async function askAtMenu({ ask, log }: CommandContext, { parameters }: Operation): Promise<Given> {
  const given: Record<string, string> = {};
  for (const { name, atMenu } of parameters) {
    if (atMenu === undefined || !ask) continue;
    const answer = (await ask.text({ text: atMenu, check: (typed) => typed })).trim();
    log.choice(`${name}=${answer}`);
    if (answer !== '') given[name] = answer;
  }
  return given;
}

async function runChosen(
  context: CommandContext,
  report: ReturnType<typeof makeReport>,
  operation: Operation,
): Promise<string> {
  let told = '';
  const log = {
    choice: context.log.choice,
    outcome: (text: string) => {
      told = text;
      context.log.outcome(text);
    },
  };
  const exitCode = await runLogged({ ...context, log }, report, async () =>
    operation.run(context, await askAtMenu(context, operation)),
  );
  if (exitCode === exitCodes.interrupted) throw new CmsadmError('left', told, { exitCode });
  return told;
}
