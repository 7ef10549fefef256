import { type Command, Option } from 'commander';
import { readAnswers } from './answers-file.ts';
import type { Given, Parameter } from './commands/context.ts';
import { CmsadmError, exitCodes } from './errors.ts';
import type { Operation } from './operations.ts';
import type { GlobalOptions } from './session.ts';

/**
 * Adds an operation to the command line: its parameters as flags, or as the words behind it.
 * @param group what it is added to
 * @param plans false for what has no plan to show and no questions worth a file
 * @param run gets the options of this call, and what flags, words and the answers file gave
 */
export function addOperation(
  program: Command,
  group: Command,
  { name, label, parameters }: Operation,
  plans: boolean,
  run: (options: GlobalOptions, given: Given) => Promise<void>,
): Command {
  const sub = group
    .command(name)
    .description(label)
    .option('--json', 'one JSON object on standard output')
    .option('--yes', 'carry out without asking')
    .addOption(new Option('--root <folder>', 'a rehearsal server instead of this one'));
  if (plans)
    sub
      .option('--dry-run', 'show the plan and stop (exit 0 nothing to do, 2 changes pending)')
      .option('--answers <file>', 'answers as YAML; flags win');
  for (const parameter of parameters)
    if (parameter.words) sub.argument(`[${parameter.name}...]`, parameter.help);
    else if (parameter.help !== '') sub.addOption(new Option(flagOf(parameter), parameter.help));
  sub.action(async () => {
    if (group !== program) takeOver(group, sub);
    const options: GlobalOptions & Record<string, unknown> = { ...program.opts(), ...withoutUndefined(sub.opts()) };
    const file = sub.getOptionValue('answers');
    const fromFile = typeof file === 'string' ? readAnswers(file, parameters) : {};
    await run(options, { ...fromFile, ...flagValues(sub, parameters), ...wordValues(sub, parameters) });
  });
  return sub;
}

/**
 * A flag that a command and an operation behind its name both know goes to the command (commander); here the operation
 * gets it. @throws CmsadmError usage for one that the operation does not know
 */
function takeOver(group: Command, sub: Command): void {
  for (const option of group.options) {
    const key = option.attributeName();
    if (group.getOptionValueSource(key) !== 'cli') continue;
    if (!sub.options.some(({ long }) => long === option.long))
      throw new CmsadmError('usage', `${sub.name()} does not know ${option.long}.`, {
        exitCode: exitCodes.usage,
        remedy: `cmsadm ${group.name()} ${sub.name()} --help`,
      });
    sub.setOptionValueWithSource(key, group.getOptionValue(key), 'cli');
  }
}

const flagOf = (parameter: Parameter): string =>
  parameter.flag ? `--${parameter.name}` : `--${parameter.name} <value>`;

const withoutUndefined = (values: Record<string, unknown>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined));

/** Values by parameter name; commander keeps them in camel case, and `--no-x` as `x: false`. */
const flagValues = (sub: Command, parameters: readonly Parameter[]): Given =>
  Object.fromEntries(
    parameters.flatMap((parameter) => {
      const option = sub.options.find(({ long }) => long === `--${parameter.name}`);
      const value: unknown = option && sub.getOptionValue(option.attributeName());
      if (parameter.flag)
        return value === !option?.negate && sub.getOptionValueSource(option?.attributeName() ?? '') === 'cli'
          ? [[parameter.name, '']]
          : [];
      return typeof value === 'string' ? [[parameter.name, value]] : [];
    }),
  );

const wordValues = ({ args }: Command, parameters: readonly Parameter[]): Given =>
  Object.fromEntries(
    parameters.flatMap(({ name, words }) => (words && args.length > 0 ? [[name, args.join(' ')]] : [])),
  );
