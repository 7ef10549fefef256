/** authorized_keys, sshd(8) "AUTHORIZED_KEYS FILE FORMAT": `[options] type base64 comment`. */
import { CmsadmError } from '../errors.ts';
import { insertLines, joinLines, type Line, splitLines } from './lines.ts';
import { removeMarks } from './marks.ts';

type KeyOption = { readonly name: string; readonly value?: string };
export type AuthorizedKey = {
  readonly options: readonly KeyOption[];
  readonly type: string;
  readonly base64: string;
  readonly comment: string;
};
export type AuthorizedKeysLine = Line & { readonly entry: AuthorizedKey | undefined };
export type WantedAuthorizedKey = {
  readonly key: { readonly type: string; readonly base64: string };
  /** The addresses the key may be used from. */
  readonly from: readonly string[];
  readonly command: string;
  /** `cmsadm pair key of FQDN`: how the line is known again. */
  readonly comment: string;
};

const optionPattern = /([A-Za-z0-9@._-]+)(?:=(?:"((?:\\"|[^"\\]|\\(?!"))*)"|([^",\t ]*)))?(,|$)/y;

/** Options keep their values as written, escaped quotes included. Undefined if the text is no list of options. */
const readOptions = (text: string): KeyOption[] | undefined => {
  const options: KeyOption[] = [];
  optionPattern.lastIndex = 0;
  for (let at = 0; at < text.length; at = optionPattern.lastIndex) {
    const [, name, quoted, plain] = optionPattern.exec(text) ?? [];
    if (name === undefined) return undefined;
    const value = quoted ?? plain;
    options.push(value === undefined ? { name } : { name, value });
  }
  return options;
};

/** Blanks within quotes belong to the options. */
const linePattern =
  /^[ \t]*(?:((?:"(?:\\"|[^"\\]|\\(?!"))*"|[^" \t#])(?:"(?:\\"|[^"\\]|\\(?!"))*"|[^" \t])*)[ \t]+)??((?:ssh|ecdsa|sk)-[A-Za-z0-9@.-]+)[ \t]+([A-Za-z0-9+/]+=*)(?:[ \t]+(.*))?$/s;

const readEntry = (text: string): AuthorizedKey | undefined => {
  const [, optionText, type, base64, comment] = linePattern.exec(text) ?? [];
  if (type === undefined || base64 === undefined) return undefined;
  const options = readOptions(optionText ?? '');
  return options && { options, type, base64, comment: comment ?? '' };
};

export const parse = (text: string): AuthorizedKeysLine[] =>
  splitLines(text).map((line) => ({ ...line, entry: readEntry(line.text) }));

export const print = (doc: readonly Line[]): string => joinLines(doc);

/** All keys of the file in order; lines that sshd ignores are left out. */
export const entries = (text: string): AuthorizedKey[] => parse(text).flatMap(({ entry }) => entry ?? []);

const isOurs = (text: string): boolean =>
  /^restrict,from="[^"]*",command="(?:\\"|[^"\\]|\\(?!"))*" \S+ \S+ cmsadm pair key of \S+\s*$/.test(text);

export const undo = (text: string): string => removeMarks(text, isOurs);

/**
 * The text with exactly one line of ours. Throws CmsadmError `key-already-authorised` if the administrator has a line
 * with the same key: sshd takes the first line that fits, so an unrestricted one would make ours useless.
 */
export const edit = (text: string, { key, from, command, comment }: WantedAuthorizedKey): string => {
  const doc = parse(undo(text));
  const other = doc.findIndex(({ entry }) => entry?.base64 === key.base64);
  if (other !== -1) {
    throw new CmsadmError('key-already-authorised', "The pair's own key is authorised by another line already.", {
      remedy: 'Remove that line from authorized_keys, then run the command again.',
      details: [`It is line ${other + 1}.`],
    });
  }
  const options = `restrict,from="${from.join(',')}",command="${command.replaceAll('"', '\\"')}"`;
  return print(insertLines(doc, doc.length, [`${options} ${key.type} ${key.base64} ${comment}`]));
};
