import { isIP } from 'node:net';
import { CmsadmError } from '../errors.ts';

/** What an answer must be. */
export type Rule =
  | { readonly kind: 'number'; readonly least: number; readonly most: number }
  | { readonly kind: 'yes or no' }
  | { readonly kind: 'one of'; readonly words: readonly string[] }
  | { readonly kind: 'name' }
  | { readonly kind: 'host' }
  /** A host, or none. */
  | { readonly kind: 'host or none' }
  | { readonly kind: 'time' };

/** How a question tells its rule, as the original does: ` (1-64)`, ` (y/n)`. */
export function ruleText(rule: Rule): string {
  if (rule.kind === 'number') return ` (${rule.least}-${rule.most})`;
  if (rule.kind === 'yes or no') return ' (y/n)';
  if (rule.kind === 'one of') return ` (${rule.words.join(', ')})`;
  return '';
}

const refused = (message: string, remedy: string): CmsadmError =>
  new CmsadmError('answer-refused', message, { remedy });

/**
 * The answer in the form in which it is used.
 * @throws CmsadmError answer-refused
 */
export function ruled(rule: Rule, answer: string): string {
  const text = answer.trim();
  const told = text === '' ? 'Nothing was typed' : JSON.stringify(text);
  switch (rule.kind) {
    case 'number': {
      const { least, most } = rule;
      if (/^(0|[1-9]\d{0,8})$/.test(text) && Number(text) >= least && Number(text) <= most) return text;
      throw refused(`${told}${text === '' ? '' : ' is not accepted'}.`, `Type a number from ${least} to ${most}.`);
    }
    case 'yes or no':
      if (text === 'y' || text === 'n') return text;
      throw refused(`${told}${text === '' ? '' : ' is neither y nor n'}.`, 'Type y or n.');
    case 'one of': {
      const word = rule.words.find((one) => one.toLowerCase() === text.toLowerCase());
      if (word !== undefined) return word;
      throw refused(
        `${told}${text === '' ? '' : ' is not accepted'}.`,
        rule.words.length === 1 ? `Type ${rule.words[0]}.` : `Type one of ${rule.words.join(', ')}.`,
      );
    }
    case 'name':
      if (/^[\x20-\x7e]{1,20}$/.test(text)) return text;
      throw refused(
        text === ''
          ? `${told}.`
          : text.length > 20
            ? `${told} is longer than 20 characters.`
            : `${told} holds what is no plain character.`,
        'Type 1 to 20 letters without accents, digits, blanks and signs of ASCII.',
      );
    case 'host':
    case 'host or none':
      if (rule.kind === 'host or none' && text === 'none') return text;
      if (isHost(text)) return text;
      throw refused(`${told}: no host name and no IP address.`, 'Type the name or the address of the switch.');
    case 'time':
      return timeOf(text, told);
  }
}

/** A name by RFC 1123 (at most 253 characters, no label of digits alone at the end), or an address. */
function isHost(text: string): boolean {
  if (isIP(text) !== 0) return true;
  const labels = text.split('.');
  return (
    text.length <= 253 &&
    labels.every((label) => /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/.test(label)) &&
    !/^\d+$/.test(labels.at(-1) ?? '')
  );
}

/** `8:00 AM`: twelve hours, as the original asks. */
function timeOf(text: string, told: string): string {
  const [, hours = '', minutes = '', half = ''] = /^(\d{1,2}):(\d{2})\s*([AP]M)$/i.exec(text) ?? [];
  const isTime = Number(hours) >= 1 && Number(hours) <= 12 && Number(minutes) <= 59 && half !== '';
  if (isTime) return `${Number(hours)}:${minutes} ${half.toUpperCase()}`;
  throw refused(`${told}: no time of the day.`, 'Type it as 8:00 AM or 5:00 PM.');
}
