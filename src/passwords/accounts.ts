import { type Root, readText } from '../host/root.ts';
import type { Profile } from '../profile/schema.ts';
import { readShadow, type ShadowEntry } from './shadow.ts';

export type Rules = NonNullable<Profile['passwords']>;

/** An account of this server, with its password's dates. */
export type Account = ShadowEntry & { readonly uid: number; readonly shell: string };

/**
 * The accounts of the server's own passwd(5) and shadow(5). Users of a directory (LDAP, SSSD) stand in neither, and the
 * lines that let one in (`+name`) are no accounts.
 */
export function readAccounts(root: Root): Account[] {
  const shadow = new Map(readShadow(readText(root, '/etc/shadow') ?? '').map((entry) => [entry.name, entry]));
  return (readText(root, '/etc/passwd') ?? '').split('\n').flatMap((line) => {
    const [name = '', , uid = '', , , , shell = ''] = line.split(':');
    const entry = shadow.get(name);
    return entry && /^\d+$/.test(uid) ? { ...entry, uid: Number(uid), shell } : [];
  });
}

/** Why an account's password never ages, whatever is wanted; undefined for a user of the product. */
export function whyNever(
  { name, uid, shell, locked }: Account,
  { minimumUid, shell: login, never }: Rules,
): string | undefined {
  if (never.includes(name)) return 'named in the profile';
  if (uid === 0 || uid < minimumUid) return 'an account of the system';
  if (shell !== login) return 'another login shell';
  return locked ? 'locked' : undefined;
}
