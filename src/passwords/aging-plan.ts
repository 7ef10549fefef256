import { type Account, type Rules, whyNever } from './accounts.ts';
import type { AgeRecord, AgeRecords } from './age-record.ts';
import { type Ages, ageFields } from './shadow.ts';
import type { WantedAging } from './wanted-aging.ts';

/** Days of warning for an account that has none; login.defs(5) has the same. */
const WARN = 7;

/** One account that gets other ages. */
type AgeStep = { readonly account: Account; readonly to: Ages; readonly why: 'ages' | 'as before' };

export type AgingPlan = {
  readonly steps: readonly AgeStep[];
  /** Written before the steps, and after them. */
  readonly during: AgeRecords;
  readonly after: AgeRecords;
  /** Whose passwords age once this is done. */
  readonly affected: readonly Account[];
  /** Values that somebody else set meanwhile: they stay. */
  readonly byHand: readonly string[];
};

const agesOf = ({ min, max, warn }: Ages): Ages => ({ min, max, warn });
const isSame = (a: Ages, b: Ages): boolean => ageFields.every((field) => a[field] === b[field]);
const words = { min: 'minimum', max: 'maximum', warn: 'warning' } as const;
export const daysText = (days: number): string => (days < 0 ? 'none' : `${days} days`);

/** With a minimum above the maximum nobody could change a password any more (shadow(5)). */
const targetOf = (before: Ages, weeks: number): Ages => {
  const max = weeks * 7;
  return { max, min: Math.min(before.min, max), warn: before.warn < 0 ? WARN : before.warn };
};

type Replaced = { readonly to: Ages; readonly set: Ages; readonly byHand: readonly (keyof Ages)[] };

/** The values of `wanted` where what stands there is ours to change, else what somebody set by hand. */
function replaced(now: Ages, record: AgeRecord | undefined, wanted: Ages): Replaced {
  const byHand = ageFields.filter(
    (field) => record && ![record.set[field], record.next?.[field], wanted[field]].includes(now[field]),
  );
  const each = (value: (field: keyof Ages, isByHand: boolean) => number): Ages => ({
    min: value('min', byHand.includes('min')),
    max: value('max', byHand.includes('max')),
    warn: value('warn', byHand.includes('warn')),
  });
  return {
    to: each((field, isByHand) => (isByHand ? now[field] : wanted[field])),
    set: each((field, isByHand) => (isByHand && record ? record.set[field] : now[field])),
    byHand,
  };
}

/**
 * What it takes until the accounts of a server stand as wanted: those that age, and those that get back what they had
 * before, no more than that.
 */
export function planAges(
  accounts: readonly Account[],
  records: AgeRecords,
  wanted: WantedAging,
  rules: Rules,
): AgingPlan {
  const steps: AgeStep[] = [];
  const byHand: string[] = [];
  const during: Record<string, AgeRecord> = {};
  const after: Record<string, AgeRecord> = {};
  const ages = (account: Account): boolean =>
    wanted.aging === 'on' && !wanted.exclude.includes(account.name) && whyNever(account, rules) === undefined;
  const affected = accounts.filter(ages);
  for (const account of accounts) {
    const { name, uid } = account;
    const now = agesOf(account);
    const record = records[name]?.uid === uid ? records[name] : undefined;
    const isAffected = affected.includes(account);
    if (!isAffected && !record) continue;
    const before = record?.before ?? now;
    const target = isAffected ? targetOf(before, wanted.weeks) : before;
    const { to, set, byHand: fields } = replaced(now, record, target);
    for (const field of fields)
      byHand.push(`${name}: the ${words[field]} of ${daysText(now[field])} was set by hand and stays`);
    if (!isSame(now, to)) steps.push({ account, to, why: isAffected ? 'ages' : 'as before' });
    const isSettled = record?.next === null && isSame(record.set, target);
    during[name] = isSettled ? record : { uid, before, set, next: target };
    if (isAffected) after[name] = { uid, before, set: target, next: null };
  }
  return { steps, during, after, affected, byHand };
}
