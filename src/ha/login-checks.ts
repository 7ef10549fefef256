import { remedyOfLoss } from '../config-files/lost-by-reload.ts';
import { parseEffective } from '../config-files/sshd-effective.ts';
import { portsAt } from '../config-files/sshd-listeners.ts';
import type { Facts } from '../pair/facts.ts';
import { fileOf } from '../pair/facts.ts';
import { paths } from '../pair/state.ts';
import { forFamily, type Profile } from '../profile/schema.ts';
import { type Check, check } from './check.ts';
import { lostByReload } from './firewall.ts';

type Own = { readonly address: string; readonly fqdn: string };

/** What would keep the other server's root out, or shut somebody out by the mere reload of a file; only what is wrong. */
export const loginChecks = (profile: Profile, facts: Facts, own: Own): Check[] => [
  ...listenChecks(facts, own),
  ...keyChecks(facts, own),
  ...sshdFileChecks(profile, facts, own),
  ...reloadChecks(profile, facts, own),
];

function listenChecks({ sshListeners }: Facts, { address, fqdn }: Own): Check[] {
  if (sshListeners === undefined || sshListeners.length === 0 || portsAt(sshListeners, address).length > 0) return [];
  const places = sshListeners.map((one) => `${one.address} port ${one.port}`).join(', ');
  return [
    check(
      'ssh-address',
      fqdn,
      false,
      '',
      `sshd does not listen on ${address}, only on ${places}.`,
      `Add a ListenAddress for ${address} (ssh.socket: a ListenStream), or give the pair an address that it listens on.`,
    ),
  ];
}

// sshd(8), StrictModes: it does not believe a file that others than root could have written.
function keyChecks(facts: Facts, { fqdn }: Own): Check[] {
  if (parseEffective(facts.sshd ?? '').get('strictmodes')?.[0] === 'no') return [];
  const file = fileOf(facts, 'authorized_keys')?.fact;
  const places = [
    ...(file?.state === 'file' ? [{ ...file, path: paths.authorizedKeys }] : []),
    ...(facts.keyFolders ?? []),
  ];
  return places
    .filter(({ mode, owner }) => owner !== 'root' || (mode & 0o022) !== 0)
    .map(({ path, mode, owner }) =>
      check(
        'key-modes',
        fqdn,
        false,
        '',
        `${path} may be written by others than root (${owner}, mode ${mode.toString(8)}): sshd does not believe the keys in it.`,
        owner === 'root' ? `chmod go-w ${path}` : `chown root ${path}; chmod go-w ${path}`,
      ),
    );
}

/**
 * Before and after a change sshd is asked by its files, so what somebody wrote there and never loaded would come into force by
 * our reload, unseen. A warning: changed is also a file whose text is the same.
 */
function sshdFileChecks(profile: Profile, facts: Facts, { fqdn }: Own): Check[] {
  const service = profile.services['sshd'];
  const unit = service && forFamily(service.unit, facts.family);
  const { active = false, changedAt } = facts.units[unit ?? ''] ?? {};
  // Where its socket starts it for each connection, it reads them each time.
  if (!active || changedAt === undefined) return [];
  const changed = (facts.sshdFiles ?? []).filter((file) => file.changedAt > changedAt).map(({ path }) => path);
  if (changed.length === 0) return [];
  return [
    check(
      'sshd-pending',
      fqdn,
      false,
      '',
      `${changed.join(', ')} ${changed.length === 1 ? 'was' : 'were'} changed after sshd read its files last; a reload by us would bring that into force.`,
      `Take the edit back, or bring it into force yourself (systemctl reload ${unit}) and try a login before you close this session.`,
      'warn',
    ),
  ];
}

function reloadChecks(profile: Profile, facts: Facts, { fqdn }: Own): Check[] {
  const { tables, rules } = lostByReload(profile, facts);
  const { adapter, path } = profile.firewall[facts.family];
  return [
    ...(tables.length === 0
      ? []
      : [
          check(
            'firewall-tables',
            fqdn,
            false,
            '',
            `The kernel holds nftables tables that ${path} does not: ${tables.join(', ')}. Its reload would drop them.`,
            'Write them into that file, or stop what made them until the roles are set up.',
          ),
        ]),
    ...(rules.length === 0
      ? []
      : [
          check(
            'firewall-rules',
            fqdn,
            false,
            '',
            adapter === 'firewalld'
              ? 'firewalld holds settings in force that its files do not; its reload would drop them:'
              : `The kernel holds firewall rules that ${path} does not; its reload would drop them:`,
            adapter === 'none' ? '' : remedyOfLoss(adapter, path ?? ''),
            'fail',
            rules,
          ),
        ]),
  ];
}
