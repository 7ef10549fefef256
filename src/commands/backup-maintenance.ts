import { readCatalogue, snapshotPath } from '../backup/catalogue.ts';
import { neverSaved } from '../backup/places.ts';
import { CmsadmError } from '../errors.ts';
import { isThere } from '../host/root.ts';
import { maintenanceParameters } from './backup-parameters.ts';
import { backupSettings, factsOf, runBackup, settleForm, settleTarget } from './backup-run.ts';
import { type CommandContext, type CommandOutcome, declined, type Given, settleAnswers, usage } from './context.ts';

/**
 * `cmsadm backup maintenance`: saves historical data, all of it or what changed since the last full one.
 * @throws CmsadmError no-maintenance-profile, no-full-backup, overwrites-its-full-backup
 */
export async function backupMaintenance(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const settings = backupSettings(context);
  const { maintenance } = settings;
  if (!maintenance)
    throw new CmsadmError('no-maintenance-profile', `The profile "${context.profile.name}" names no historical data.`, {
      remedy: 'Give its block "backup" a block "maintenance"; docs/administration.md, "backup", shows its form.',
    });
  const form = { ...(await settleForm(given)), format: 'tar' as const };
  const { level, device, path } = maintenanceParameters;
  const alsoMissing = [device, path]
    .filter(({ name }) => given[name] === undefined && !context.ask && given[level.name] === undefined)
    .map(({ name, help }) => `--${name}: ${help}`);
  const { [level.name]: kind = 'q' } = await settleAnswers(
    [{ parameter: level, check: levelOf }],
    given,
    context,
    alsoMissing,
  );
  if (kind === 'q') return declined(context, 'maintenance backup');
  const since = kind === 'incremental' ? lastFull(context) : undefined;
  const target = await settleTarget(context, given, settings);
  if (!target) return declined(context, 'maintenance backup');
  const { include, exclude } = maintenance;
  const facts = await factsOf(context, kind === 'full' ? 'full' : 'incremental', form, maintenance);
  return runBackup(
    context,
    {
      facts: since ? { ...facts, of: since.name } : facts,
      selection: { include, exclude, never: neverSaved(target) },
      target,
      readsBack: form.readsBack,
      ...(since ? { since } : {}),
    },
    settings,
    [],
  );
}

function levelOf(typed: string): string {
  const text = typed.trim();
  if (text === '1' || text === 'full') return 'full';
  if (text === '2' || text === 'incremental') return 'incremental';
  if (text === 'q') return 'q';
  throw usage(
    text === '' ? 'Nothing says which backup.' : `${JSON.stringify(text)} is no choice.`,
    'Type 1 (full) or 2 (incremental), or q to leave.',
  );
}

function lastFull({ host }: CommandContext): { readonly name: string; readonly seconds: number } {
  const full = readCatalogue(host.root).find(
    ({ kind, name }) => kind === 'full' && isThere(host.root, snapshotPath(name)),
  );
  if (full) return { name: full.name, seconds: Math.floor(Date.parse(full.made) / 1000) };
  throw new CmsadmError(
    'no-full-backup',
    'There is no full maintenance backup that an incremental one could stand on.',
    {
      remedy: 'Make a full one first: cmsadm backup maintenance --level full',
    },
  );
}
