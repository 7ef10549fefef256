import { CmsadmError } from '../errors.ts';

/** What a plan was made from: as it was seen before the first question, and how it is read again. */
export type Basis = { readonly seen: string; readonly read: () => string | Promise<string> };

/**
 * Asked under the lock, before anything is touched: while somebody answers questions or reads the review, somebody else may
 * have decided.
 * @throws CmsadmError plan-changed
 */
export async function refuseIfOther({ seen, read }: Basis, operation: string): Promise<void> {
  if ((await read()) === seen) return;
  throw new CmsadmError('plan-changed', `${operation}: meanwhile something changed that this was planned from.`, {
    details: ['Somebody else administers here too; nothing was touched by this run.'],
    remedy: 'Run it again: it begins with how things stand now.',
  });
}
