import { CmsadmError, exitCodes } from '../errors.ts';
import type { Pair } from './state.ts';

/**
 * Which server of the pair a person names: by FQDN, or by its short name where that is not the other one's too.
 * @throws CmsadmError server-unknown
 */
export function namedServer({ primary, secondary }: Pair, text: string): 'primary' | 'secondary' {
  const typed = text.trim().toLowerCase();
  const names = ({ fqdn, hostname }: Pair['primary']): string[] => [fqdn.toLowerCase(), hostname.toLowerCase()];
  const [first, second] = [names(primary).includes(typed), names(secondary).includes(typed)];
  if (first !== second) return first ? 'primary' : 'secondary';
  throw new CmsadmError('server-unknown', `${JSON.stringify(text)} is not the name of one server of this pair.`, {
    exitCode: exitCodes.usage,
    remedy: `Type ${primary.fqdn} or ${secondary.fqdn}.`,
  });
}
