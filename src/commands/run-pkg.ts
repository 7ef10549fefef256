import { CmsadmError } from '../errors.ts';
import { listPackages } from '../features/feature-packages.ts';
import { wantedPlaces } from '../features/places.ts';
import { readRecord } from '../features/record.ts';
import { printWanted } from '../features/wanted-package.ts';
import { type CommandContext, type CommandOutcome, declined, type Given, settleAnswers, usage } from './context.ts';
import { packageParameters } from './parameters.ts';
import { changePackage, wantedNow } from './pkg-change.ts';
import { choosePackage } from './pkg-choice.ts';
import { tellPackages } from './pkg-list.ts';

/**
 * Option 6: turns an installed package on or off. On, its units run on the server that its manifest and settings name,
 * and follow the roles.
 * @throws CmsadmError no-package, nothing-runs, those of the change
 */
export async function runPkg(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const { host, profile } = context;
  await refuseIdle(context, given[packageParameters.name.name]?.trim());
  const packages = await tellPackages(context, ({ state }) => state !== 'none');
  const chosen = await choosePackage(context, given, packages);
  if (!chosen) return declined(context, 'run a feature package');
  const { state } = await settleAnswers([{ parameter: packageParameters.state, check: stateOf }], given, context);
  if (state === 'q') return declined(context, 'run a feature package');
  const { name, title, runsOn } = chosen;
  const wanted = wantedNow(context, name);
  const units = readRecord(host.root, name)?.installed?.manifest.units ?? [];
  const where = runsOn === 'both' ? 'both servers' : `the ${runsOn}`;
  return changePackage(context, name, {
    operation: `turn ${name} ${state}`,
    files: [{ path: wantedPlaces(profile, name).wanted, content: printWanted({ ...wanted, on: state === 'on' }) }],
    notes: [
      state === 'on'
        ? `${title} runs on ${where} of a pair, whichever servers they are: it follows the roles.`
        : `${title} is stopped on each server, and is not started at boot.`,
      `Units: ${units.map((unit) => unit.name).join(', ')}.`,
    ],
    result: { package: { name, title, version: chosen.version }, on: state === 'on', runsOn },
  });
}

/** A package may bring only files, or be a right: nothing of it could be started. @throws CmsadmError nothing-runs */
async function refuseIdle({ host, profile }: CommandContext, typed: string | undefined): Promise<void> {
  if (typed === undefined) return;
  const idle = (await listPackages(host, profile)).find(({ name, state }) => name === typed && state === 'none');
  if (idle)
    throw new CmsadmError('nothing-runs', `Nothing of ${idle.title} runs: it can't be turned on or off.`, {
      remedy: 'It is in force since it was installed; pkg_remove takes it away.',
    });
}

function stateOf(typed: string): string {
  const text = typed.trim();
  if (text === 'q') return text;
  if (text === '1' || text === 'on') return 'on';
  if (text === '2' || text === 'off') return 'off';
  throw usage(
    text === '' ? 'Nothing says whether it shall be on or off.' : `${JSON.stringify(text.slice(0, 60))} is no choice.`,
    'Type 1 or on, 2 or off, or q to leave.',
  );
}
