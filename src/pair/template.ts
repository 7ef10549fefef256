import { CmsadmError } from '../errors.ts';
import { printable } from '../printable.ts';

/** What a template may ask for: what one server has to itself. */
export type Words = Readonly<Record<'role' | 'address' | 'fqdn' | 'peer-address' | 'peer-fqdn', string>>;

type Named = { readonly address: string; readonly fqdn: string };

/** The words of one server of a pair. */
export const wordsOf = (self: Named, peer: Named, isPrimary: boolean): Words => ({
  role: isPrimary ? 'primary' : 'secondary',
  address: self.address,
  fqdn: self.fqdn,
  'peer-address': peer.address,
  'peer-fqdn': peer.fqdn,
});

/**
 * Fills in a template: each `@{word}` becomes what this server has for it. `@{` can't be had in the result.
 * @param text one character for each byte
 * @param name of the template, as it is shown
 * @throws CmsadmError template-refused with every word that is not known
 */
export function fillIn(text: string, words: Words, name: string): string {
  const known = new Map(Object.entries(words));
  const unknown = new Set<string>();
  const filled = text.replaceAll(/@\{([^}\n]*)\}?/g, (whole, word: string) => {
    const value = whole.endsWith('}') ? known.get(word) : undefined;
    if (value === undefined) unknown.add(whole);
    return value ?? whole;
  });
  if (unknown.size === 0) return filled;
  throw new CmsadmError(
    'template-refused',
    `The template ${name} asks for what is not known: ${[...unknown].map((word) => JSON.stringify(printable(word))).join(', ')}.`,
    { remedy: `Known are ${[...known.keys()].map((word) => `@{${word}}`).join(', ')}.` },
  );
}
