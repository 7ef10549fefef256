import { neverSaved } from '../backup/places.ts';
import { backupSettings, factsOf, runBackup, settleForm, settleTarget } from './backup-run.ts';
import { type CommandContext, type CommandOutcome, declined, type Given } from './context.ts';

/**
 * Option 3: saves the system, programs and customer data of this server, not the call data and database tables. New
 * log-ins are blocked meanwhile; data collection goes on.
 */
export async function backup(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const settings = backupSettings(context);
  const form = await settleForm(given);
  const target = await settleTarget(context, given, settings);
  if (!target) return declined(context, 'backup');
  const { include, exclude } = settings;
  const facts = await factsOf(context, 'filesystem', form, settings);
  const selection = { include, exclude, never: neverSaved(target) };
  return runBackup(context, { facts, selection, target, readsBack: form.readsBack }, settings, [
    'New log-ins are blocked while it runs; who is logged in works on, and data collection goes on.',
  ]);
}
