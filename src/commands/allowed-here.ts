import { hasAuthority } from '../agent/standing.ts';
import { CmsadmError } from '../errors.ts';
import type { Host } from '../host/system.ts';
import { readPair } from '../pair/state.ts';
import type { Profile } from '../profile/schema.ts';

/**
 * Refuses on a server that does not administer.
 * @param what begins the sentence that says why
 * @throws CmsadmError not-authority, with the name of the primary
 */
export function requireAuthority(host: Host, what: string): void {
  const pair = readPair(host.root);
  if (!pair || hasAuthority(host, pair)) return;
  throw new CmsadmError(
    'not-authority',
    `${what}; this server is the secondary, ${pair.primary.fqdn} is the primary.`,
    {
      server: pair.secondary.fqdn,
      remedy: `Run it on ${pair.primary.fqdn}.`,
    },
  );
}

/**
 * Asked before a command of the menu begins: on the secondary only those run that the profile allows on both servers.
 * @throws CmsadmError not-authority
 */
export function refuseUnlessAllowed(host: Host, { menu }: Profile, command: string): void {
  const entry = menu.find((one) => one.command === command);
  if (entry?.on === 'primary') requireAuthority(host, `${command} changes what is administered`);
}
