import { CmsadmError } from '../errors.ts';
import { wantedPlaces } from '../features/places.ts';
import { readRecord } from '../features/record.ts';
import { printWanted } from '../features/wanted-package.ts';
import {
  parseSetting,
  questionOf,
  type Setting,
  type Settings,
  type SettingValue,
  settingsFrom,
  settingText,
} from '../packages/setting.ts';
import { type CommandContext, type CommandOutcome, declined, type Given, usage } from './context.ts';
import { packageParameters } from './parameters.ts';
import { changePackage, packagesBasis, wantedNow } from './pkg-change.ts';
import { choosePackage } from './pkg-choice.ts';
import { tellPackages } from './pkg-list.ts';

/**
 * Option 11: asks what an installed package lets one set, with the present values preset.
 * @throws CmsadmError no-package, package-not-here, setting-refused, those of the change
 */
export async function configPkg(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const { profile, report } = context;
  const basis = packagesBasis(context);
  const packages = await tellPackages(context);
  const chosen = await choosePackage(context, given, packages);
  if (!chosen) return declined(context, 'configure a feature package');
  const { name, title, version } = chosen;
  const wanted = wantedNow(context, name);
  const settings = settingsOf(context, name, title);
  const before = settingsFrom(settings, wanted.settings);
  for (const setting of settings) report.line(`  ${setting.name}: ${shownOf(before[setting.name])}`);
  const set = given[packageParameters.set.name];
  const after = set === undefined ? await askAll(context, settings, before) : { ...before, ...parseSet(set, settings) };
  const changed = settings.filter((setting) => after[setting.name] !== before[setting.name]);
  return changePackage(context, name, {
    operation: `configure ${name}`,
    files: [{ path: wantedPlaces(profile, name).wanted, content: printWanted({ ...wanted, settings: after }) }],
    basis,
    notes: changed.map((one) => `${one.name}: ${shownOf(before[one.name])} becomes ${shownOf(after[one.name])}.`),
    result: { package: { name, title, version }, settings: after },
  });

  function shownOf(value: SettingValue | undefined): string {
    return value === undefined ? '' : settingText(value);
  }
}

function settingsOf({ host }: CommandContext, name: string, title: string): readonly Setting[] {
  const installed = readRecord(host.root, name)?.installed;
  if (!installed)
    throw new CmsadmError('package-not-here', `${title} is wanted, but not installed on this server yet.`, {
      remedy: 'See `cmsadm package list`; `cmsadm recover` tries again to install it.',
    });
  if (installed.manifest.settings.length > 0) return installed.manifest.settings;
  throw new CmsadmError('no-settings', `${title} has nothing to configure.`, {
    remedy: 'Choose another package.',
  });
}

/** Without anybody to ask, the flag is missing. */
async function askAll(
  { ask, log }: CommandContext,
  settings: readonly Setting[],
  before: Settings,
): Promise<Record<string, SettingValue>> {
  if (!ask)
    throw usage('Nothing says what is to be set, and there is no terminal to ask at.', 'Give --set "name=value".', [
      ...settings.map((setting) => `${setting.name}: ${questionOf(setting)}`),
    ]);
  const after: Record<string, SettingValue> = { ...before };
  for (const setting of settings) {
    const preset = before[setting.name];
    const typed = await ask.text({
      text: questionOf(setting),
      ...(preset === undefined ? {} : { preset: settingText(preset) }),
      check: (answer) => settingText(parseSetting(setting, answer)),
    });
    after[setting.name] = parseSetting(setting, typed);
    log.choice(`${setting.name}=${typed}`);
  }
  return after;
}

/** `name=value; name=value` → values. @throws CmsadmError answers-refused, with all that is wrong */
function parseSet(text: string, settings: readonly Setting[]): Record<string, SettingValue> {
  const values: Record<string, SettingValue> = {};
  const wrong: string[] = [];
  for (const part of text.split(';').filter((one) => one.trim() !== '')) {
    const [key = '', ...rest] = part.split('=');
    const setting = settings.find(({ name }) => name === key.trim());
    if (!setting || rest.length === 0) {
      const shown = JSON.stringify(part.trim().slice(0, 80));
      wrong.push(
        setting ? `${shown} gives no value: write ${setting.name}=VALUE.` : `${shown} names no setting of it.`,
      );
      continue;
    }
    try {
      values[setting.name] = parseSetting(setting, rest.join('='));
    } catch (error) {
      if (!(error instanceof CmsadmError)) throw error;
      wrong.push(`${error.message} ${error.remedy ?? ''}`);
    }
  }
  if (wrong.length === 0) return values;
  throw new CmsadmError('answers-refused', 'A setting is not accepted.', {
    details: wrong,
    remedy: `Settings: ${settings.map(({ name }) => name).join(', ')}.`,
  });
}
