/**
 * /etc/shadow, shadow(5): `name:password:last change:minimum:maximum:warning:inactive:expiry:reserved`, in days; an empty
 * field is told as -1, as chage(1) takes it. The passwords themselves are not given out.
 */
import { CmsadmError } from '../errors.ts';

/** What password aging sets of an account, in days. */
export type Ages = { readonly min: number; readonly max: number; readonly warn: number };
export const ageFields = ['min', 'max', 'warn'] as const;

export type ShadowEntry = Ages & {
  readonly name: string;
  /** No password can match: the account has none, or it was locked. */
  readonly locked: boolean;
  /** Day of the last change, counted from 1970; 0 = must be changed at the next log-in. */
  readonly lastChange: number;
  /** Days after the expiry for which the password is still accepted to be changed. */
  readonly inactive: number;
};

const columns = { min: 3, max: 4, warn: 5 } as const;
const days = (text: string | undefined): number => (text !== undefined && /^\d+$/.test(text) ? Number(text) : -1);

/** The accounts of a shadow file; lines that are none are passed over. */
export const readShadow = (text: string): ShadowEntry[] =>
  text.split('\n').flatMap((line) => {
    const fields = line.split(':');
    const [name = '', password = '', lastChange, min, max, warn, inactive] = fields;
    if (fields.length < 8 || name === '' || /^[+-]/.test(name)) return [];
    return {
      name,
      locked: /^[!*]/.test(password),
      lastChange: days(lastChange),
      min: days(min),
      max: days(max),
      warn: days(warn),
      inactive: days(inactive),
    };
  });

/**
 * The text with other ages for one account; every other byte stays.
 * @throws CmsadmError account-unknown
 */
export function editShadow(text: string, name: string, ages: Ages): string {
  let found = false;
  const lines = text.split('\n').map((line) => {
    const fields = line.split(':');
    if (found || fields.length < 8 || fields[0] !== name) return line;
    found = true;
    for (const field of ageFields) fields[columns[field]] = ages[field] < 0 ? '' : String(ages[field]);
    return fields.join(':');
  });
  if (found) return lines.join('\n');
  throw new CmsadmError('account-unknown', `There is no account ${name} in /etc/shadow.`, {
    file: '/etc/shadow',
    remedy: 'Run it again: the account may have been removed meanwhile.',
  });
}
