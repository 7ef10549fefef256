import type { FeatureManifest } from '../packages/feature-manifest.ts';
import { type Settings, settingsFrom } from '../packages/setting.ts';

/**
 * The settings of a package as systemd's EnvironmentFile and a shell's `.` read them (systemd.exec(5)). What the
 * package does not know is left out; what it asks and nobody answered has its default.
 */
export function settingsText({ title, settings }: FeatureManifest, values: Settings): string {
  const text = Object.entries(settingsFrom(settings, values)).map(
    ([name, value]) =>
      `SETTING_${name.toUpperCase()}="${typeof value === 'boolean' ? (value ? 'yes' : 'no') : value}"\n`,
  );
  return Buffer.from(`# Settings of ${title}, as config_pkg was told.\n${text.join('')}`).toString('latin1');
}
