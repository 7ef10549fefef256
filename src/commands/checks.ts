import * as fs from 'node:fs';
import ipaddr from 'ipaddr.js';
import { CmsadmError } from '../errors.ts';
import { at, type Root } from '../host/root.ts';

const refuse = (message: string, remedy: string): CmsadmError => new CmsadmError('answer-refused', message, { remedy });

// What came from a keyboard or a file may hold anything; it is shown without its control characters.
const shown = (text: string): string => JSON.stringify(text.length > 60 ? `${text.slice(0, 60)}…` : text);

/**
 * An address that a server of a pair can have: one IPv4 (four decimal parts) or IPv6 address.
 * @returns it in its usual form
 * @throws CmsadmError answer-refused with the reason
 */
export function checkAddress(text: string): string {
  if (/[@\s]|^-|:\/\//.test(text))
    throw refuse(
      `${shown(text)} is no IP address.`,
      'Give the plain address; the servers must reach each other directly, without a jump host.',
    );
  const v4 = ipaddr.IPv4.isValidFourPartDecimal(text);
  if (!v4 && !(text.includes(':') && !text.includes('%') && ipaddr.IPv6.isValid(text))) {
    if (/^fe80:/i.test(text)) throw linkLocal(text);
    throw refuse(`${shown(text)} is no IP address.`, 'Give it like 192.0.2.10 or 2001:db8::10.');
  }
  const address = ipaddr.parse(text);
  const range = address.range();
  if (range === 'linkLocal') throw linkLocal(text);
  if (['loopback', 'unspecified', 'broadcast', 'multicast', 'ipv4Mapped'].includes(range))
    throw refuse(
      `${text} is ${range === 'unspecified' ? 'an' : 'a'} ${range} address.`,
      'Give the address under which the server is known in the network.',
    );
  return address.toString();
}

const linkLocal = (text: string): CmsadmError =>
  refuse(
    `${shown(text)} is link-local: it means another server on every interface.`,
    'Give a global or private address.',
  );

/** A fully qualified domain name (RFC 1123), in lower case. @throws CmsadmError answer-refused */
export function checkFqdn(text: string): string {
  const name = text.toLowerCase();
  const labels = name.split('.');
  const good = labels.every((label) => /^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/.test(label));
  if (!good || name.length > 253 || /^\d+$/.test(labels.at(-1) ?? ''))
    throw refuse(`${shown(text)} is no host name.`, 'Give it like cms2.example.com.');
  if (labels.length < 2)
    throw refuse(`${shown(text)} has no domain.`, 'Give the fully qualified name, like cms2.example.com.');
  return name;
}

/** The full path of a readable file below the server's root. @returns where it lies @throws CmsadmError answer-refused */
export function checkFile(root: Root, text: string): string {
  if (!text.startsWith('/') || text.includes('\0'))
    throw refuse(`${shown(text)} is no full path.`, 'Give it from the root: it begins with /.');
  let stat: fs.Stats;
  try {
    stat = fs.statSync(at(root, text));
    fs.accessSync(at(root, text), fs.constants.R_OK);
  } catch {
    throw refuse(`${shown(text)} cannot be read.`, 'Check the path on this server (`ls -l`).');
  }
  if (!stat.isFile()) throw refuse(`${shown(text)} is no file.`, 'Give the path of the file itself.');
  return at(root, text);
}

/** A whole number from `least` to `most`. @throws CmsadmError answer-refused */
export function checkCount(text: string, least: number, most: number): string {
  const count = Number(text);
  if (!/^\d{1,6}$/.test(text) || count < least || count > most)
    throw refuse(`${shown(text)} is no number from ${least} to ${most}.`, `Give a number from ${least} to ${most}.`);
  return String(count);
}

/** A TCP port. @throws CmsadmError answer-refused */
export function checkPort(text: string): string {
  const port = Number(text);
  if (!/^\d{1,5}$/.test(text) || port < 1 || port > 65535)
    throw refuse(`${shown(text)} is no port.`, 'Give a number from 1 to 65535.');
  return String(port);
}

/** A login name as useradd(8) allows it. @throws CmsadmError answer-refused */
export function checkUser(text: string): string {
  if (!/^[a-z_][a-z0-9_-]{0,31}$/i.test(text))
    throw refuse(`${shown(text)} is no user name.`, 'Give root, or a user whom sudo makes root.');
  return text;
}

/** SHA256:… as ssh-keygen -l prints it. @throws CmsadmError answer-refused */
export function checkFingerprint(text: string): string {
  if (!/^SHA256:[A-Za-z0-9+/]{43}=?$/.test(text))
    throw refuse(
      `${shown(text)} is no fingerprint.`,
      'Take it from the peer’s console: ssh-keygen -l -f /etc/ssh/ssh_host_ed25519_key.pub',
    );
  return text.replace(/=$/, '');
}
