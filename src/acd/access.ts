import * as v from 'valibot';
import { parseDocument } from 'yaml';
import { CmsadmError } from '../errors.ts';
import { type Root, readText } from '../host/root.ts';
import type { Profile } from '../profile/schema.ts';
import { acdFolder, acdNumber, readYamlAs } from './definition.ts';

const name = v.pipe(v.string(), v.regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,31}$/));

const accessSchema = v.strictObject({
  /** The ACD that each user works with, and his tenant; null: he can't get in. */
  users: v.optional(v.record(name, v.strictObject({ acd: v.nullable(acdNumber), tenant: v.optional(name) })), {}),
  /** The ACDs that each tenant has. */
  tenants: v.optional(v.record(name, v.array(acdNumber)), {}),
  /** ACDs that are reported on together. */
  groups: v.optional(v.record(name, v.array(acdNumber)), {}),
});
/** Who works with which ACD. */
export type AcdAccess = v.InferOutput<typeof accessSchema>;

export const accessFile = (profile: Profile): string => `${acdFolder(profile)}/access.yaml`;

/** @throws CmsadmError acd-unreadable */
export function readAccessText(root: Root, profile: Profile): { readonly text: string; readonly access: AcdAccess } {
  const file = accessFile(profile);
  const text = readText(root, file) ?? '';
  return { text, access: readYamlAs(accessSchema, text.trim() === '' ? '{}' : text, file) };
}

/** What becomes of users and tenants when an ACD goes. */
export type AccessChange = {
  /** User, and the ACD that he gets; null: he can't get in until he is given one. */
  readonly users: readonly { readonly name: string; readonly tenant?: string; readonly to: number | null }[];
  /** Tenants that have this ACD, and what is left to them. */
  readonly tenants: readonly { readonly name: string; readonly left: readonly number[] }[];
};

/**
 * Users of the ACD go to the master, or, where their tenant has no master, to the first ACD that it has left.
 * @throws CmsadmError acd-in-group
 */
export function accessWithout(access: AcdAccess, number: number, master: number): AccessChange {
  const groups = Object.entries(access.groups).flatMap(([group, acds]) => (acds.includes(number) ? [group] : []));
  if (groups.length > 0)
    throw new CmsadmError('acd-in-group', `ACD ${number} is in the group ${groups.join(', ')}.`, {
      remedy: 'Take it out of its groups first (access.yaml), then remove it.',
    });
  const leftOf = (tenant: string): number[] => (access.tenants[tenant] ?? []).filter((one) => one !== number);
  const goesTo = (tenant: string | undefined): number | null => {
    if (tenant === undefined) return master;
    const left = leftOf(tenant);
    return left.includes(master) ? master : (left[0] ?? null);
  };
  return {
    users: Object.entries(access.users).flatMap(([user, { acd, tenant }]) =>
      acd === number ? [{ name: user, ...(tenant === undefined ? {} : { tenant }), to: goesTo(tenant) }] : [],
    ),
    tenants: Object.entries(access.tenants).flatMap(([tenant, acds]) =>
      acds.includes(number) ? [{ name: tenant, left: leftOf(tenant) }] : [],
    ),
  };
}

/** The file's text with that change; comments and everything else stay. */
export function editAccess(text: string, { users, tenants }: AccessChange): string {
  if (users.length === 0 && tenants.length === 0) return text;
  // Text of a server is one character for each byte; the parser wants characters.
  const document = parseDocument(Buffer.from(text, 'latin1').toString('utf8'));
  for (const { name: user, to } of users) document.setIn(['users', user, 'acd'], to);
  for (const { name: tenant, left } of tenants)
    document.setIn(['tenants', tenant], document.createNode(left, { flow: true }));
  return Buffer.from(document.toString({ lineWidth: 0 })).toString('latin1');
}
