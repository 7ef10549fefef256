import { createHash } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as v from 'valibot';
import { parse } from 'yaml';
import { CmsadmError } from '../errors.ts';
import { type Profile, profileSchema } from './schema.ts';

const namePattern = /^[a-z][a-z0-9-]{0,31}$/;

function readYaml(file: string, parsed?: string): Record<string, unknown> {
  try {
    const text = readFileSync(file, 'utf8');
    return v.parse(
      v.record(v.string(), v.unknown()),
      (parsed === undefined ? undefined : parsedAtBuild(text, parsed)) ?? parse(text),
    );
  } catch (cause) {
    throw new CmsadmError('profile-unreadable', `The profile ${file} is not readable YAML.`, {
      file,
      remedy: 'Correct the file; docs/guide.md, "Profiles", shows its form.',
      cause,
    });
  }
}

/** What the build made of the same text, found by its hash: parsing a profile takes longer than all else at start. */
function parsedAtBuild(text: string, folder: string): unknown {
  const hash = createHash('sha256').update(text).digest('hex');
  try {
    return JSON.parse(readFileSync(join(folder, `${hash}.json`), 'utf8'));
  } catch {
    return undefined; // a site's own text, or a program that was not built
  }
}

function find(name: string, folders: readonly string[], parsed: string | undefined): Record<string, unknown> {
  if (!namePattern.test(name))
    throw new CmsadmError('profile-unknown', `"${name}" is no name of a profile.`, {
      remedy: 'Use letters, digits and -.',
    });
  const file = folders.map((folder) => join(folder, `${name}.yaml`)).find((path) => existsSync(path));
  if (file === undefined)
    throw new CmsadmError('profile-unknown', `There is no profile "${name}" in ${folders.join(' or ')}.`, {
      remedy: 'Correct "profile:" in /etc/cmsadm/settings.yaml.',
    });
  const { extends: parent, ...own } = readYaml(file, parsed);
  return typeof parent === 'string' && parent !== name ? { ...find(parent, folders, parsed), ...own } : own;
}

/**
 * Loads a profile by name. A site profile (first folder) may `extends: cms` and replace whole keys.
 * @param folders where to look, in order: the server's `/etc/cmsadm/profiles`, then the program's own
 * @param parsed where the build left parsed forms of the shipped profiles
 * @throws CmsadmError profile-unknown, profile-unreadable, profile-invalid (with every fault in `details`)
 */
export function loadProfile(name: string, folders: readonly string[], parsed?: string): Profile {
  const checked = v.safeParse(profileSchema, { ...find(name, folders, parsed), name });
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
type Settings = v.InferOutput<typeof settingsSchema>;

/**
 * Reads the settings of a server; a missing file means the defaults.
 * @throws CmsadmError settings-invalid
 */
function loadSettings(file: string): Settings {
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
  const folders = [join(prefix, '/etc/cmsadm/profiles'), join(programRoot, 'profiles')];
  const profile = loadProfile(settings.profile, folders, join(programRoot, 'dist/parsed'));
  return settings.confirmSeconds === undefined ? profile : { ...profile, confirmSeconds: settings.confirmSeconds };
}
