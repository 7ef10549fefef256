/** What a feature package lets the operator set: its kinds, and which answers each of them takes. */
import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';

export const settingName = v.pipe(v.string(), v.regex(/^[a-z][a-z0-9_]{0,31}$/u));
// Shown on terminals: printable, one line, not endless.
export const label = v.pipe(v.string(), v.regex(/^[^\p{C}\u2028\u2029]{1,100}$/u));

/** Harmless for systemd's EnvironmentFile and for a shell's `.`, between double quotes; `;` parts settings in a flag. */
const plainText = v.pipe(v.string(), v.regex(/^[ !#%&'()*+,./0-9:<=>?@A-Z[\]^_a-z{|}~-]{0,100}$/u));
const integer = v.pipe(v.number(), v.integer(), v.minValue(-999_999_999), v.maxValue(999_999_999));

/** One character, or one of some, and how often. Neither groups nor alternatives: no answer takes long to match. */
const part = String.raw`(?:\[\^?(?:[^\\[\]^-]|[^\\[\]^-]-[^\\[\]^-]|\\[-\\\]^.])+-?\]|\\[d.]|[A-Za-z0-9_:/@%=,-])`;
const often = String.raw`(?:[+*?]|\{\d{1,2}(?:,\d{0,2})?\})`;
const simple = new RegExp(`^(?:${part}${often}?){1,12}$`, 'u');

/** A regular expression for whole answers, simple enough to be matched in no time whatever is typed. */
const pattern = v.pipe(
  v.string(),
  v.check((text) => simple.test(text) && (text.match(/[+*?}]/gu) ?? []).length <= 3, 'is no simple pattern'),
  v.check((text) => attempt(text) !== undefined, 'is no pattern'),
);

function attempt(text: string): RegExp | undefined {
  try {
    return new RegExp(`^(?:${text})$`, 'u');
  } catch {
    return undefined;
  }
}

const own = { name: settingName, question: label } as const;

const settingKinds = v.variant('kind', [
  v.strictObject({ ...own, kind: v.literal('integer'), min: integer, max: integer, default: integer }),
  v.strictObject({ ...own, kind: v.literal('yes-no'), default: v.boolean() }),
  v.strictObject({
    ...own,
    kind: v.literal('choice'),
    choices: v.pipe(v.array(plainText), v.minLength(2), v.maxLength(20)),
    default: plainText,
  }),
  v.strictObject({ ...own, kind: v.literal('text'), pattern, example: plainText, default: plainText }),
]);
export type Setting = v.InferOutput<typeof settingKinds>;

export const settingSchema = v.pipe(
  settingKinds,
  v.check((setting) => fits(setting, setting.default), 'has a default that it would not accept'),
);
export const settingValue = v.union([v.string(), v.number(), v.boolean()]);
export type SettingValue = v.InferOutput<typeof settingValue>;
export type Settings = Readonly<Record<string, SettingValue>>;

/** True for a value that the setting may have. */
function fits(setting: Setting, value: SettingValue): boolean {
  switch (setting.kind) {
    case 'integer':
      return typeof value === 'number' && Number.isInteger(value) && value >= setting.min && value <= setting.max;
    case 'yes-no':
      return typeof value === 'boolean';
    case 'choice':
      return typeof value === 'string' && setting.choices.includes(value);
    case 'text':
      return v.is(plainText, value) && attempt(setting.pattern)?.test(value) === true;
  }
}

/** A value as it is shown, and may be typed. */
export const settingText = (value: SettingValue): string =>
  typeof value === 'boolean' ? (value ? 'y' : 'n') : String(value);

/** The question with the answers that it takes. */
export function questionOf(setting: Setting): string {
  const { question } = setting;
  switch (setting.kind) {
    case 'integer':
      return `${question} (${setting.min}-${setting.max})`;
    case 'yes-no':
      return `${question} (y/n)`;
    case 'choice':
      return `${question} (${setting.choices.join(', ')})`;
    case 'text':
      return question;
  }
}

/** What was typed → the value. @throws CmsadmError setting-refused, saying what may be typed */
export function parseSetting(setting: Setting, typed: string): SettingValue {
  const text = typed.trim();
  const value = typedValue(setting, text);
  if (value !== undefined && fits(setting, value)) return value;
  const shown = JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}...` : text);
  throw new CmsadmError('setting-refused', `${shown} is no value for ${setting.name}.`, { remedy: remedyOf(setting) });
}

function typedValue({ kind }: Setting, text: string): SettingValue | undefined {
  if (kind === 'integer') return /^-?\d{1,9}$/u.test(text) ? Number(text) : undefined;
  if (kind !== 'yes-no') return text;
  return /^(?:y|yes)$/u.test(text) ? true : /^(?:n|no)$/u.test(text) ? false : undefined;
}

function remedyOf(setting: Setting): string {
  switch (setting.kind) {
    case 'integer':
      return `Type a whole number from ${setting.min} to ${setting.max}.`;
    case 'yes-no':
      return 'Type y or n.';
    case 'choice':
      return `Type one of ${setting.choices.join(', ')}.`;
    case 'text':
      return `Type it like ${setting.example}.`;
  }
}

/** The values to have: those of before that still fit, else the defaults. */
export const settingsFrom = (settings: readonly Setting[], before: Settings): Settings =>
  Object.fromEntries(
    settings.map((setting) => {
      const value = Object.hasOwn(before, setting.name) ? before[setting.name] : undefined;
      return [setting.name, value !== undefined && fits(setting, value) ? value : setting.default];
    }),
  );
