import type { Host } from '../host/system.ts';
import type { SettingValue } from '../packages/setting.ts';
import type { Profile } from '../profile/schema.ts';
import { readRecord } from './record.ts';
import { readWanted } from './wanted-package.ts';

/**
 * True where a feature is to be had on this server: its package is wanted, and installed here. For options that ask
 * more with a package, such as acd_create with `dual_ip`.
 */
export function isInstalled({ root }: Host, profile: Profile, name: string): boolean {
  const wanted = readWanted(root, profile, name);
  return wanted !== undefined && readRecord(root, name)?.installed?.package === wanted.package;
}

/** What a package that is installed here is set to; undefined where it is not, or knows no such setting. */
export const settingOf = (host: Host, profile: Profile, name: string, setting: string): SettingValue | undefined =>
  isInstalled(host, profile, name) ? readWanted(host.root, profile, name)?.settings[setting] : undefined;
