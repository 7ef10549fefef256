import type { AccessRecord } from './access-record.ts';
import type { Adapter, Grants } from './adapter.ts';
import { quotedName } from './names.ts';
import type { WantedAccess } from './wanted-access.ts';

export type AccessPlan = {
  /** All of one transaction, its begin and end included; none where the grants are as wanted. */
  readonly statements: readonly string[];
  /** Written before the statements are carried out, and after. */
  readonly during: AccessRecord | undefined;
  readonly after: AccessRecord | undefined;
  /** Members whom this database does not know: they are granted as soon as it does. */
  readonly unknown: readonly string[];
  /** Users who connect by somebody else's grant, which stays. */
  readonly others: readonly string[];
};

const union = (...lists: readonly (readonly string[])[]): string[] => [...new Set(lists.flat())].sort();

/**
 * The statements after which a database's grants are as wanted. Without a decision they go back to what they were
 * before the first one.
 */
export function planAccess(
  adapter: Adapter,
  database: string,
  grants: Grants,
  record: AccessRecord | undefined,
  wanted: WantedAccess | undefined,
): AccessPlan {
  const ours = record?.granted ?? [];
  const members = wanted?.access === 'restricted' ? wanted.members : [];
  const isPublic = wanted ? wanted.access === 'public' : (record?.public ?? grants.public.length > 0);
  const isKnown = (name: string): boolean => grants.known?.includes(name) ?? true;
  const granted = members.filter(
    (name) => isKnown(name) && !grants.users.includes(name) && !grants.higher.includes(name),
  );
  const revoked = ours.filter((name) => grants.users.includes(name) && !members.includes(name));
  const work = [
    ...(isPublic && grants.public.length === 0 ? [adapter.grant(database, 'PUBLIC')] : []),
    ...(isPublic ? [] : grants.public.map((privilege) => adapter.revoke(database, privilege, 'PUBLIC'))),
    ...granted.map((name) => adapter.grant(database, quotedName(name))),
    ...revoked.map((name) => adapter.revoke(database, 'CONNECT', quotedName(name))),
  ];
  const before = record?.public ?? grants.public.length > 0;
  const kept = ours.filter((name) => members.includes(name) && grants.users.includes(name));
  return {
    statements: work.length === 0 ? [] : [adapter.begin, ...work, adapter.commit],
    during: { public: before, granted: union(ours, granted) },
    after: wanted && { public: before, granted: union(kept, granted) },
    unknown: members.filter((name) => !isKnown(name)),
    others: isPublic ? [] : grants.users.filter((name) => !ours.includes(name) && !members.includes(name)),
  };
}

export const unknownLines = ({ unknown }: AccessPlan): string[] =>
  unknown.map((name) => `${name}: the database has no such user yet`);
