import { inTurn } from '../change/turn.ts';
import { CmsadmError, explained } from '../errors.ts';
import type { Host } from '../host/system.ts';
import type { Profile } from '../profile/schema.ts';
import { readAccounts } from './accounts.ts';
import { type AgeRecords, readAgeRecords, writeAgeRecords } from './age-record.ts';
import { type AgingPlan, daysText, planAges } from './aging-plan.ts';
import { setAges } from './set-ages.ts';
import { readAging, type WantedAging } from './wanted-aging.ts';

const turn = { operation: 'password aging', operator: 'cmsadm', server: 'this server', path: '/run/cmsadm/passwords' };

/** What it takes until this server's accounts stand as `wanted`; undefined where the profile has no users to age. */
export function agingPlan(host: Host, profile: Profile, wanted: WantedAging): AgingPlan | undefined {
  const rules = profile.passwords;
  return rules && planAges(readAccounts(host.root), readAgeRecords(host.root), wanted, rules);
}

const isEqual = (a: AgeRecords, b: AgeRecords): boolean => JSON.stringify(a) === JSON.stringify(b);

/**
 * Makes the accounts of this server stand as the file of password aging wants it. What an account had before is on disk
 * before the account is touched, so that an end at any instant loses nothing and the next run goes on.
 * @returns a line for each account that was changed, and for each value that is somebody else's
 * @throws CmsadmError ages-refused with all accounts that could not be set
 */
async function apply(host: Host, profile: Profile): Promise<readonly string[]> {
  if (!profile.passwords) return [];
  return inTurn(host, turn, async () => {
    const plan = agingPlan(host, profile, readAging(host.root, profile));
    if (!plan) return [];
    const records = readAgeRecords(host.root);
    if (!isEqual(plan.during, records) && plan.steps.length > 0) writeAgeRecords(host.root, plan.during);
    const lines: string[] = [];
    const failed: CmsadmError[] = [];
    const left: Record<string, AgeRecords[string]> = {};
    for (const { account, to } of plan.steps) {
      const { name } = account;
      try {
        await setAges(host, name, to);
        lines.push(`${name}: maximum ${daysText(to.max)}, was ${daysText(account.max)}`);
      } catch (thrown) {
        const error = explained(thrown);
        if (!(error instanceof CmsadmError)) throw error;
        failed.push(error);
        const record = plan.during[name];
        if (record) left[name] = record;
      }
    }
    const after = { ...plan.after, ...left };
    if (!isEqual(after, records)) writeAgeRecords(host.root, after);
    const [first] = failed;
    if (!first) return [...lines, ...plan.byHand];
    throw failed.length === 1
      ? first
      : new CmsadmError(first.code, `${first.message} (and ${failed.length - 1} more)`, {
          details: failed.map(({ message }) => message),
          ...(first.remedy === undefined ? {} : { remedy: first.remedy }),
        });
  });
}

/** @returns what of this server's accounts differs from the file: not reached, or set by hand */
async function report(host: Host, profile: Profile): Promise<readonly string[]> {
  if (!profile.passwords) return [];
  const plan = agingPlan(host, profile, readAging(host.root, profile));
  if (!plan) return [];
  const steps = plan.steps.map(
    ({ account, to }) => `${account.name}: maximum ${daysText(account.max)} instead of ${daysText(to.max)}`,
  );
  return [...steps, ...plan.byHand];
}

/** Each server's own part of password aging. */
export const passwordAging = { name: 'password aging', apply, report };
