import type { ShadowEntry } from './shadow.ts';

/** When a password expires: on a day, at once (a new one is asked for at the next log-in), or not by its age. */
export type Expiry =
  | { readonly when: 'on'; readonly date: string }
  | { readonly when: 'at once' }
  /** Expired for longer than the account's inactive days: it is not even let in to change it. */
  | { readonly when: 'locked out' }
  /** shadow(5): without a date of the last change a password does not age until it is changed. */
  | { readonly when: 'after its next change' }
  | { readonly when: 'never' };

const DAY = 86_400_000;
const isoDate = (day: number): string => new Date(day * DAY).toISOString().slice(0, 10);

/** @param clock milliseconds since 1970 */
export function expiryOf(
  { lastChange, inactive }: Pick<ShadowEntry, 'lastChange' | 'inactive'>,
  max: number,
  clock: number,
): Expiry {
  const today = Math.floor(clock / DAY);
  if (lastChange === 0) return { when: 'at once' };
  if (max < 0) return { when: 'never' };
  if (lastChange < 0) return { when: 'after its next change' };
  const last = lastChange + max;
  if (inactive >= 0 && today > last + inactive) return { when: 'locked out' };
  if (today >= last) return { when: 'at once' };
  // chage(1) takes ten thousand days and more for "never".
  return max >= 10_000 ? { when: 'never' } : { when: 'on', date: isoDate(last) };
}

/** What follows "expires". */
export const expiryText = (expiry: Expiry): string => (expiry.when === 'on' ? expiry.date : expiry.when);
