import { CmsadmError } from '../errors.ts';

const pattern = /^[A-Za-z_][A-Za-z0-9_.-]{0,31}$/;
// Both databases take these for everybody and for nobody, in quotes too.
const keywords = ['public', 'none'];

/** Why no grant may be written for this name; undefined where it may. */
export function whyNoName(name: string): string | undefined {
  if (!pattern.test(name)) return 'a name in the database has letters, digits and _ . -, at most 32';
  return keywords.includes(name.toLowerCase()) ? 'the database takes that name for a word of its own' : undefined;
}

/**
 * A checked name in quotes, as SQL takes it: nothing else ever gets into a statement.
 * @throws CmsadmError name-refused
 */
export function quotedName(name: string): string {
  const why = whyNoName(name);
  if (why === undefined) return `"${name}"`;
  throw new CmsadmError('name-refused', `${JSON.stringify(name)} gets into no statement: ${why}.`, {
    remedy: 'Correct the name where it comes from: the group, the profile or the file of database access.',
  });
}
