import { backupMenuParameters } from './backup-parameters.ts';
import { type CommandContext, type CommandOutcome, declined, type Given, settleAnswers, usage } from './context.ts';

type Task = {
  readonly name: string;
  readonly label: string;
  readonly run: (context: CommandContext, given: Given) => Promise<CommandOutcome>;
};

/**
 * Option 3 at the menu: asks first what is to be done with backups.
 * @param tasks in their order; just Enter takes the first
 */
export async function backupMenu(context: CommandContext, tasks: readonly Task[]): Promise<CommandOutcome> {
  const { report } = context;
  const width = Math.max(...tasks.map(({ name }) => name.length)) + 1;
  for (const [index, { name, label }] of tasks.entries()) report.line(`${index + 1}) ${name.padEnd(width)}${label}`);
  const { task } = backupMenuParameters;
  const check = (typed: string): string => taskOf(tasks, typed);
  const { [task.name]: chosen } = await settleAnswers([{ parameter: task, preset: '1', check }], {}, context);
  const found = tasks.find(({ name }) => name === chosen);
  return found ? found.run(context, {}) : declined(context, 'backup');
}

function taskOf(tasks: readonly Task[], typed: string): string {
  const text = typed.trim();
  if (text === 'q') return text;
  const byNumber = /^[1-9]$/.test(text) ? tasks[Number(text) - 1] : undefined;
  const found = byNumber ?? tasks.find(({ name }) => name === text);
  if (found) return found.name;
  throw usage(
    `${JSON.stringify(text.slice(0, 60))} is no choice.`,
    `Type a number from 1 to ${tasks.length}, or q to leave.`,
  );
}
