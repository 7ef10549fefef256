import type { Interruption } from '../change/coordinator.ts';
import { CmsadmError, type ExitCode, exitCodes } from '../errors.ts';
import type { Host } from '../host/system.ts';
import type { AdminLog } from '../pair/admin-log.ts';
import type { Profile } from '../profile/schema.ts';
import type { Asker, Report } from '../report.ts';

/** Everything that a command gets from its door: read once at the edge and passed on. */
export type CommandContext = {
  readonly host: Host;
  readonly profile: Profile;
  readonly report: Report;
  /** Who answers questions; undefined without a terminal. */
  readonly ask: Asker | undefined;
  readonly yes: boolean;
  readonly dryRun: boolean;
  readonly log: AdminLog;
  readonly pid: number;
  readonly operator: string;
  readonly stop: Interruption;
  /** What another process goes on with, whether this one is interrupted or not. */
  readonly asked: { goesOn?: GoesOn | undefined };
};

/** What was asked of the agent, and how to see or undo it. */
export type GoesOn = { readonly text: string; readonly remedy: string };

/** How a command ended, for the exit code, the admin log and `--json`. */
export type CommandOutcome = {
  readonly exitCode: ExitCode;
  readonly summary: string;
  readonly result: Readonly<Record<string, unknown>>;
  /** What is told to a person as an error, although the result holds more for a program. */
  readonly error?: CmsadmError;
};

/** Values that came with flags or the answers file, by parameter name. */
export type Given = Readonly<Record<string, string | undefined>>;

export type Parameter = {
  /** Flag (`--secondary-ip`) and key of the answers file. */
  readonly name: string;
  readonly question: string;
  readonly help: string;
  /** Asked only on a terminal as a secret; given by file or descriptor, never as a flag's value. */
  readonly secret?: true;
  /** A flag without value. */
  readonly flag?: true;
  /** Given as the words behind the command instead of a flag. */
  readonly words?: true;
  /** What the menu asks before it runs the operation; just Enter gives nothing. */
  readonly atMenu?: string;
};

export const usage = (message: string, remedy: string, details: readonly string[] = []): CmsadmError =>
  new CmsadmError('usage', message, { exitCode: exitCodes.usage, remedy, details });

/** One question of a command: the parameter, what it presets, and what makes an answer acceptable. */
export type Slot = {
  readonly parameter: Parameter;
  readonly preset?: string;
  readonly check: (answer: string) => string | Promise<string>;
};

const spelled = ({ name, words }: Parameter): string => (words ? name.toUpperCase() : `--${name}`);

/**
 * Settles the answers in their order: what was given, else asked, else preset. Everything that is missing or wrong
 * without a terminal is told in one error.
 * @param alsoMissing what later questions will want and nobody can be asked for
 * @throws CmsadmError usage
 */
export async function settleAnswers(
  slots: readonly Slot[],
  given: Given,
  context: Pick<CommandContext, 'ask' | 'log'>,
  alsoMissing: readonly string[] = [],
): Promise<Record<string, string>> {
  const settled: Record<string, string> = {};
  const missing: string[] = [...alsoMissing];
  const wrong: string[] = [];
  for (const { parameter, preset, check } of slots) {
    const value = given[parameter.name];
    try {
      if (value !== undefined) settled[parameter.name] = await check(value);
      else if (context.ask)
        settled[parameter.name] = await context.ask.text({
          text: parameter.question,
          check,
          ...(preset === undefined ? {} : { preset }),
        });
      else if (preset !== undefined) settled[parameter.name] = await check(preset);
      else missing.push(`${spelled(parameter)}: ${parameter.help}`);
    } catch (error) {
      if (!(error instanceof CmsadmError) || error.exitCode === exitCodes.interrupted || error.code === 'input-ended')
        throw error;
      wrong.push(
        [
          `${spelled(parameter)}${error.file === undefined ? '' : ` ${value}`}: ${error.message}`,
          ...error.details,
          error.remedy ?? '',
        ]
          .filter((part) => part !== '')
          .join(' '),
      );
    }
    const answer = settled[parameter.name];
    if (answer !== undefined) context.log.choice(`${parameter.name}=${answer}`);
  }
  if (missing.length > 0)
    throw usage(
      'Answers are missing, and there is no terminal to ask at.',
      'Give them with the command, or in an answers file (--answers FILE) where it takes one.',
      [...missing, ...wrong],
    );
  if (wrong.length > 0)
    throw new CmsadmError(
      'answers-refused',
      wrong.length === 1 ? 'An answer is not accepted.' : `${wrong.length} answers are not accepted.`,
      {
        details: wrong,
        remedy: 'Correct them and run the command again; nothing was touched.',
      },
    );
  return settled;
}

/** Refuses at once what nobody could confirm later. @throws CmsadmError usage */
export function requireSomebody(context: CommandContext): void {
  if (!context.yes && !context.dryRun && !context.ask)
    throw usage('Nobody is there to say yes.', 'Give --yes to carry the plan out, or --dry-run to only see it.');
}

/**
 * Asks for the final word on what was reviewed: `y`, `n`, or `d` for its details.
 * @param showDetails what `d` shows, if there is more to show
 * @returns false on `n`
 * @throws CmsadmError usage without `--yes` and without a terminal
 */
export async function confirmed(
  context: CommandContext,
  showDetails?: () => void,
  what: 'diffs' | 'files' = 'diffs',
): Promise<boolean> {
  if (context.yes) return true;
  requireSomebody(context);
  const { ask } = context;
  if (!ask) return false; // a dry run ends before it is asked
  for (;;) {
    const key = showDetails
      ? await ask.choose(`Proceed? (y/n, d shows the ${what}):`, ['y', 'n', 'd'])
      : await ask.choose('Proceed? (y/n):', ['y', 'n']);
    if (key === 'd') showDetails?.();
    else {
      context.log.choice(`proceed=${key}`);
      return key === 'y';
    }
  }
}

/** The operator said no: nothing was touched. */
export function declined(context: CommandContext, what: string): CommandOutcome {
  context.report.line('Nothing was touched.');
  return {
    exitCode: exitCodes.done,
    summary: `${what}: declined, nothing was touched`,
    result: { outcome: 'declined' },
  };
}
