/** The effective configuration of sshd(8), as `sshd -T -C user=…,addr=…` prints it. Pure functions over that text. */
import { isWithin } from './addresses.ts';

/** Keyword in lower case → its values; those of a repeated keyword in order. */
export type Effective = ReadonlyMap<string, readonly string[]>;
export type Setting = readonly [keyword: string, value: string];
type Need = { readonly setting: Setting; readonly reason: string };

/** Each line is one value: lists of users and groups come as repeated lines, all other lists on one line. */
export const parseEffective = (text: string): Effective => {
  const effective = new Map<string, string[]>();
  for (const line of text.split(/\r?\n/)) {
    const [, keyword, value] = /^(\S+)(?:\s+(.*?))?\s*$/.exec(line) ?? [];
    if (keyword === undefined) continue;
    const key = keyword.toLowerCase();
    effective.set(key, [...(effective.get(key) ?? []), value ?? '']);
  }
  return effective;
};

const firstOf = (effective: Effective, keyword: string): string => effective.get(keyword)?.[0] ?? '';

/** All words of a keyword, be they on one line or on several. */
const listOf = (effective: Effective, keyword: string): string[] =>
  (effective.get(keyword) ?? []).flatMap((value) => value.split(/\s+/)).filter((word) => word !== '');

/** ssh_config(5), PATTERNS: `*` and `?`. */
const matches = (text: string, pattern: string): boolean => {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, '\\$&')
    .replace(/\*/g, '.*')
    .replace(/\?/g, '.');
  return new RegExp(`^${source}$`, 's').test(text);
};

/**
 * Whether a pattern of AllowUsers or DenyUsers names root from this address. `maybe`: it hangs on a host name, or on
 * an address that is not given. `!` has a meaning in the host part only; as a user it is a plain character.
 */
const namesRoot = (pattern: string, address: string | undefined): 'yes' | 'maybe' | 'no' => {
  const at = pattern.lastIndexOf('@');
  if (!matches('root', at === -1 ? pattern : pattern.slice(0, at))) return 'no';
  if (at === -1) return 'yes';
  if (address === undefined) return 'maybe';
  const hosts = pattern.slice(at + 1).split(',');
  const isHit = (host: string): boolean => matches(address, host) || isWithin(address, host);
  if (hosts.some((host) => host.startsWith('!') && isHit(host.slice(1)))) return 'no';
  if (hosts.some((host) => !host.startsWith('!') && isHit(host))) return 'yes';
  return hosts.some((host) => /[a-z]/i.test(host) && !host.includes(':')) ? 'maybe' : 'no';
};

/** Stands where a list may not be empty and shall hit nobody: no name in passwd(5) has a colon. */
const nobody = ':nobody:';

const userNeeds = (effective: Effective, address: string | undefined): Need[] => {
  const needs: Need[] = [];
  const allowed = listOf(effective, 'allowusers');
  if (allowed.length > 0 && !allowed.some((pattern) => namesRoot(pattern, address) === 'yes')) {
    // The block is for root only, so this list locks nobody else out.
    needs.push({ setting: ['AllowUsers', 'root'], reason: 'AllowUsers does not name root.' });
  }
  const denied = listOf(effective, 'denyusers');
  const others = denied.filter((pattern) => namesRoot(pattern, address) === 'no');
  if (others.length < denied.length) {
    needs.push({ setting: ['DenyUsers', others.join(' ') || nobody], reason: 'DenyUsers names root.' });
  }
  const allowedGroups = listOf(effective, 'allowgroups');
  if (allowedGroups.length > 0 && !allowedGroups.some((pattern) => matches('root', pattern))) {
    needs.push({
      setting: ['AllowGroups', [...allowedGroups, 'root'].join(' ')],
      reason: 'AllowGroups does not name the group root.',
    });
  }
  const deniedGroups = listOf(effective, 'denygroups');
  const otherGroups = deniedGroups.filter((pattern) => !matches('root', pattern));
  if (otherGroups.length < deniedGroups.length) {
    needs.push({
      setting: ['DenyGroups', otherGroups.join(' ') || nobody],
      reason: 'DenyGroups names the group root.',
    });
  }
  return needs;
};

/** sshd_config(5), TOKENS, as far as they have a fixed value for root; relative to root's home. */
const expandForRoot = (path: string): string => {
  const expanded = path.replace(/%[%huU]/g, (token) => ({ '%h': '/root', '%u': 'root', '%U': '0' })[token] ?? '%');
  return expanded.startsWith('/') ? expanded : `/root/${expanded}`;
};

const keyNeeds = (effective: Effective, keyFile: string): Need[] => {
  const needs: Need[] = [];
  const files = listOf(effective, 'authorizedkeysfile').filter((file) => file !== 'none');
  const isRead = files.some((file) => expandForRoot(file) === expandForRoot(keyFile));
  if (effective.has('authorizedkeysfile') && !isRead) {
    needs.push({
      setting: ['AuthorizedKeysFile', [keyFile, ...files].join(' ')],
      reason: `AuthorizedKeysFile does not name ${keyFile}.`,
    });
  }
  // Servers before OpenSSH 8.5 know the second name only.
  for (const keyword of ['PubkeyAcceptedAlgorithms', 'PubkeyAcceptedKeyTypes']) {
    const list = firstOf(effective, keyword.toLowerCase());
    if (list === '' || list.split(',').some((pattern) => matches('ssh-ed25519', pattern))) continue;
    needs.push({ setting: [keyword, `${list},ssh-ed25519`], reason: `${keyword} does not admit ssh-ed25519.` });
  }
  return needs;
};

const loginNeeds = (effective: Effective): Need[] => {
  const needs: Need[] = [];
  if (firstOf(effective, 'permitrootlogin') === 'no') {
    needs.push({ setting: ['PermitRootLogin', 'forced-commands-only'], reason: 'PermitRootLogin is no.' });
  }
  if (firstOf(effective, 'pubkeyauthentication') === 'no') {
    needs.push({ setting: ['PubkeyAuthentication', 'yes'], reason: 'PubkeyAuthentication is no.' });
  }
  const methods = listOf(effective, 'authenticationmethods');
  if (methods.length > 0 && !methods.some((method) => method === 'any' || method === 'publickey')) {
    needs.push({
      setting: ['AuthenticationMethods', 'publickey'],
      reason: `AuthenticationMethods asks for ${methods.join(' or ')}.`,
    });
  }
  // These would run something else than the command that the key is bound to, or nothing.
  for (const keyword of ['ForceCommand', 'ChrootDirectory']) {
    const value = firstOf(effective, keyword.toLowerCase());
    if (value !== '' && value !== 'none') {
      needs.push({ setting: [keyword, 'none'], reason: `${keyword} is ${value}.` });
    }
  }
  if (firstOf(effective, 'maxsessions') === '0') {
    needs.push({ setting: ['MaxSessions', '10'], reason: 'MaxSessions is 0.' });
  }
  return needs;
};

const needsOf = (effective: Effective, keyFile: string, address: string | undefined): Need[] => [
  ...loginNeeds(effective),
  ...userNeeds(effective, address),
  ...keyNeeds(effective, keyFile),
];

/**
 * The settings that a `Match User root Address …` block must hold so that root can log in by public key with a forced
 * command; none if root may enter already. `address` is the other server's: without it a pattern `root@host` is not
 * trusted to let in, and is feared to keep out.
 */
export const accessNeeds = (effective: Effective, keyFile = '.ssh/authorized_keys', address?: string): Setting[] => {
  const settings = needsOf(effective, keyFile, address).map(({ setting }) => setting);
  // Whom a list kept out altogether comes in with this one key, not with a password or a shell as well.
  const wasOut = userNeeds(effective, address).length > 0;
  const isNarrow = ['no', 'forced-commands-only'].includes(firstOf(effective, 'permitrootlogin'));
  return wasOut && !isNarrow ? [['PermitRootLogin', 'forced-commands-only'], ...settings] : settings;
};

/** Why root may not enter by public key with a forced command, one sentence each; none if root may. */
export const mayRootEnter = (effective: Effective, keyFile = '.ssh/authorized_keys', address?: string): string[] =>
  needsOf(effective, keyFile, address).map(({ reason }) => reason);

/** The keywords whose effective values differ, sorted. */
export const differences = (left: Effective, right: Effective): string[] =>
  [...new Set([...left.keys(), ...right.keys()])]
    .filter((keyword) => left.get(keyword)?.join('\n') !== right.get(keyword)?.join('\n'))
    .sort();
