/** known_hosts, sshd(8) "SSH_KNOWN_HOSTS FILE FORMAT": `[marker] hosts type base64 comment`. */
import { createHmac } from 'node:crypto';
import { CmsadmError } from '../errors.ts';
import { insertLines, joinLines, type Line, splitLines, wordsOf } from './lines.ts';
import { removeMarks } from './marks.ts';

export type HostKey = { readonly type: string; readonly base64: string };
export type KnownHost = HostKey & { readonly marker: string; readonly hosts: string; readonly comment: string };
type KnownHostsLine = Line & { readonly entry: KnownHost | undefined };
/** Names as ssh looks them up: `host`, `address` or `[host]:port`. */
export type WantedKnownHosts = { readonly names: readonly string[]; readonly keys: readonly HostKey[] };

/** A line that ssh would skip (SSH1 keys, two markers, no key) is no entry. */
const readEntry = (text: string): KnownHost | undefined => {
  const words = wordsOf(text);
  const marker = words[0]?.startsWith('@') ? words.shift() : '';
  const [hosts, type, base64, ...comment] = words;
  if (marker === undefined || hosts === undefined || type === undefined || base64 === undefined) return undefined;
  if (/^[#@]/.test(hosts) || !/^[a-z]/.test(type) || !/^[A-Za-z0-9+/]+=*$/.test(base64)) return undefined;
  return { marker, hosts, type, base64, comment: comment.join(' ') };
};

export const parse = (text: string): KnownHostsLine[] =>
  splitLines(text).map((line) => ({ ...line, entry: readEntry(line.text) }));

export const print = (doc: readonly Line[]): string => joinLines(doc);

/** The comment is the mark: it outlives `ssh-keygen -H`, which hashes the names. */
export const undo = (text: string): string =>
  removeMarks(text, (line) => line.includes('cmsadm') && readEntry(line)?.comment === 'cmsadm');

const isHashOf = (hashed: string, name: string): boolean => {
  const [, , salt, hash] = hashed.split('|');
  if (salt === undefined || hash === undefined) return false;
  return createHmac('sha1', Buffer.from(salt, 'base64')).update(name).digest('base64') === hash;
};

const fits = (name: string, pattern: string): boolean => {
  if (!/[*?]/.test(pattern)) return name === pattern.toLowerCase();
  const source = pattern.toLowerCase().replace(/[.+^${}()|[\]\\]/g, '\\$&');
  return new RegExp(`^${source.replace(/\*/g, '.*').replace(/\?/g, '.')}$`, 's').test(name);
};

/** ssh_config(5), PATTERNS: a list fits if one of its patterns does and none that is negated. */
const namesHost = (hosts: string, name: string): boolean => {
  const wanted = name.toLowerCase();
  if (hosts.startsWith('|')) return hosts.startsWith('|1|') && isHashOf(hosts, wanted);
  const patterns = hosts.split(',');
  if (patterns.some((pattern) => pattern.startsWith('!') && fits(wanted, pattern.slice(1)))) return false;
  return patterns.some((pattern) => fits(wanted, pattern));
};

const isSameKey = (left: HostKey, right: HostKey): boolean => left.type === right.type && left.base64 === right.base64;

const keysOf = (doc: readonly KnownHostsLine[], name: string, marker: string): HostKey[] =>
  doc.flatMap(({ entry }) =>
    entry?.marker === marker && namesHost(entry.hosts, name) ? [{ type: entry.type, base64: entry.base64 }] : [],
  );

/** The keys pinned for a name and those revoked for it. Certificate authorities pin no key. */
export const findKeys = (text: string, name: string): { readonly keys: HostKey[]; readonly revoked: HostKey[] } => {
  const doc = parse(text);
  return { keys: keysOf(doc, name, ''), revoked: keysOf(doc, name, '@revoked') };
};

const refuse = (code: string, message: string, remedy: string, details: readonly string[]): CmsadmError =>
  new CmsadmError(code, message, { remedy, details });

/**
 * The text with one line for each key that is not yet pinned for all names. Throws CmsadmError `host-key-revoked` or
 * `host-key-changed`; another key of another type is no change.
 */
export const edit = (text: string, { names, keys }: WantedKnownHosts): string => {
  const clean = undo(text);
  const doc = parse(clean);
  const known = names.map((name) => ({ name, pinned: keysOf(doc, name, ''), revoked: keysOf(doc, name, '@revoked') }));
  const revoked = known.filter((host) => keys.some((key) => host.revoked.some((other) => isSameKey(key, other))));
  if (revoked.length > 0) {
    throw refuse(
      'host-key-revoked',
      'The host key of the other server is marked as revoked.',
      'Find out why the key was revoked; give the server a new host key.',
      revoked.map(({ name }) => `${name}: its key stands on a @revoked line.`),
    );
  }
  const changed = known.flatMap(({ name, pinned }) =>
    keys
      .map((key) => ({ key, sameType: pinned.filter(({ type }) => type === key.type) }))
      .filter(({ key, sameType }) => sameType.length > 0 && !sameType.some((other) => isSameKey(key, other)))
      .map(({ key }) => `${name}: another ${key.type} key is pinned.`),
  );
  if (changed.length > 0) {
    throw refuse(
      'host-key-changed',
      'The host key of the other server is not the one that is pinned.',
      'Make sure that it is the right server; only then remove its old lines with ssh-keygen -R.',
      changed,
    );
  }
  const missing = keys.filter((key) => !known.every(({ pinned }) => pinned.some((other) => isSameKey(key, other))));
  const texts = missing.map(({ type, base64 }) => `${names.join(',')} ${type} ${base64} cmsadm`);
  return print(insertLines(doc, doc.length, texts));
};
