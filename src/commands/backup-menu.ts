import { backupMenuParameters } from './backup-parameters.ts';
import { type CommandContext, type CommandOutcome, declined, settleAnswers, usage } from './context.ts';

type Entry = {
  readonly name: string;
  readonly label: string;
  readonly run: (context: CommandContext) => Promise<CommandOutcome>;
};

/** In the order of the menu; just Enter makes a backup, which is what the option is called after. */
const entries: readonly Entry[] = [
  {
    name: 'make',
    label: 'Make a filesystem backup of this server',
    run: async (context) => (await import('./backup.ts')).backup(context, {}),
  },
  {
    name: 'maintenance',
    label: 'Make a maintenance backup of historical data',
    run: async (context) => (await import('./backup-maintenance.ts')).backupMaintenance(context, {}),
  },
  {
    name: 'list',
    label: 'List the backups',
    run: async (context) => (await import('./backup-list.ts')).backupList(context, {}),
  },
  {
    name: 'show',
    label: 'Show what a backup is',
    run: async (context) => (await import('./backup-show.ts')).backupShow(context, {}),
  },
  {
    name: 'verify',
    label: 'Read a backup and compare it with its manifest',
    run: async (context) => (await import('./backup-verify.ts')).backupVerify(context, {}),
  },
  {
    name: 'restore',
    label: 'Restore files of a backup, or all of it',
    run: async (context) => (await import('./backup-restore.ts')).backupRestore(context, {}),
  },
  {
    name: 'prune',
    label: 'Remove old backups',
    run: async (context) => (await import('./backup-prune.ts')).backupPrune(context, {}),
  },
];

/** Option 3 at the menu: asks first what is to be done with backups. */
export async function backupMenu(context: CommandContext): Promise<CommandOutcome> {
  const { report } = context;
  const width = Math.max(...entries.map(({ name }) => name.length)) + 1;
  for (const [index, { name, label }] of entries.entries()) report.line(`${index + 1}) ${name.padEnd(width)}${label}`);
  const { task } = backupMenuParameters;
  const { [task.name]: chosen } = await settleAnswers([{ parameter: task, preset: '1', check: taskOf }], {}, context);
  const entry = entries.find(({ name }) => name === chosen);
  return entry ? entry.run(context) : declined(context, 'backup');
}

function taskOf(typed: string): string {
  const text = typed.trim();
  if (text === 'q') return text;
  const byNumber = /^[1-9]$/.test(text) ? entries[Number(text) - 1] : undefined;
  const found = byNumber ?? entries.find(({ name }) => name === text);
  if (found) return found.name;
  throw usage(
    `${JSON.stringify(text.slice(0, 60))} is no choice.`,
    `Type a number from 1 to ${entries.length}, or q to leave.`,
  );
}
