import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { parse } from 'yaml';
import { CmsadmError } from '../errors.ts';
import { type Profile, profileSchema } from './schema.ts';

const namePattern = /^[a-z][a-z0-9-]{0,31}$/;

function readYaml(file: string): Record<string, unknown> {
  try {
    const value: unknown = parse(readFileSync(file, 'utf8'));
    return v.parse(v.record(v.string(), v.unknown()), value);
  } catch (cause) {
    throw new CmsadmError('profile-unreadable', `The profile ${file} is not readable YAML.`, {
      file,
      remedy: 'Correct the file; docs/guide.md, "Profiles", shows its form.',
      cause,
    });
  }
}

function find(name: string, folders: readonly string[]): Record<string, unknown> {
  if (!namePattern.test(name))
    throw new CmsadmError('profile-unknown', `"${name}" is no name of a profile.`, {
      remedy: 'Use letters, digits and -.',
    });
  const file = folders.map((folder) => join(folder, `${name}.yaml`)).find((path) => existsSync(path));
  if (file === undefined)
    throw new CmsadmError('profile-unknown', `There is no profile "${name}" in ${folders.join(' or ')}.`, {
      remedy: 'Correct "profile:" in /etc/cmsadm/settings.yaml.',
    });
  const { extends: parent, ...own } = readYaml(file);
  return typeof parent === 'string' && parent !== name ? { ...find(parent, folders), ...own } : own;
}

/**
 * Loads a profile by name. A site profile (first folder) may `extends: cms` and replace whole keys.
 * @param folders where to look, in order: the server's `/etc/cmsadm/profiles`, then the program's own
 * @throws CmsadmError profile-unknown, profile-unreadable, profile-invalid (with every fault in `details`)
 */
export function loadProfile(name: string, folders: readonly string[]): Profile {
  const checked = v.safeParse(profileSchema, { ...find(name, folders), name });
  if (checked.success) return checked.output;
  throw new CmsadmError('profile-invalid', `The profile "${name}" does not fit its form.`, {
    details: checked.issues.map((issue) => `${v.getDotPath(issue) ?? 'profile'}: ${issue.message}`),
    remedy: 'Correct the profile; docs/guide.md, "Profiles", shows its form.',
  });
}

/** The keys of a server's `/etc/cmsadm/settings.yaml`. */
const settingsSchema = v.strictObject({
  profile: v.optional(v.string(), 'cms'),
  confirmSeconds: v.optional(v.pipe(v.number(), v.integer(), v.minValue(10), v.maxValue(3600))),
});
export type Settings = v.InferOutput<typeof settingsSchema>;

/**
 * Reads the settings of a server; a missing file means the defaults.
 * @throws CmsadmError settings-invalid
 */
export function loadSettings(file: string): Settings {
  const value = existsSync(file) ? readYaml(file) : {};
  const checked = v.safeParse(settingsSchema, value);
  if (checked.success) return checked.output;
  throw new CmsadmError('settings-invalid', `${file} does not fit its form.`, {
    file,
    details: checked.issues.map((issue) => `${v.getDotPath(issue) ?? 'settings'}: ${issue.message}`),
    remedy: 'Allowed keys: profile, confirmSeconds.',
  });
}

/** The profile of the server below `prefix`, as its settings say. */
export function profileOfServer(prefix: string, programRoot: string): Profile {
  const settings = loadSettings(join(prefix, '/etc/cmsadm/settings.yaml'));
  const profile = loadProfile(settings.profile, [join(prefix, '/etc/cmsadm/profiles'), join(programRoot, 'profiles')]);
  return settings.confirmSeconds === undefined ? profile : { ...profile, confirmSeconds: settings.confirmSeconds };
}
