import { differences, mayRootEnter, parseEffective } from '../config-files/sshd-effective.ts';
import { CmsadmError } from '../errors.ts';
import type { Host, SshConnection } from '../host/system.ts';
import type { Change } from './change.ts';

type Watch = NonNullable<Change['sshWatch']>;

/** Connections that an edit of sshd's files must leave as they are, the operator's own included. */
function others(watch: Watch): SshConnection[] {
  const from = (user: string, addr: string, host: string): SshConnection => ({
    user,
    addr,
    host,
    laddr: watch.own,
    lport: watch.port,
  });
  const [operator = ''] = (process.env['SSH_CONNECTION'] ?? '').split(' ');
  return [
    from('root', '192.0.2.77', 'elsewhere.invalid'),
    from('nobody', '192.0.2.77', 'elsewhere.invalid'),
    from('nobody', watch.peer.address, watch.peer.fqdn),
    ...(operator === '' || operator === watch.peer.address ? [] : [from('root', operator, operator)]),
  ];
}

const show = (c: SshConnection): string => `${c.user} from ${c.addr}`;

/** What sshd decides for the watched connections now; undefined where sshd can't be asked (rehearsal). */
export async function watchSshd(host: Host, watch: Watch): Promise<string[] | undefined> {
  const texts = await Promise.all(others(watch).map((connection) => host.system.effectiveSshd(connection)));
  return texts.every((text) => text !== undefined) ? texts : undefined;
}

/**
 * Asserts, with the new configuration in place and before sshd reads it, that it is valid, that root may come in from
 * the peer, and that no other connection is treated otherwise than before. (sshd(8), -t and -T -C)
 * @throws CmsadmError sshd-judged-bad
 */
export async function assertSshd(host: Host, change: Change, before: readonly string[]): Promise<void> {
  const watch = change.sshWatch;
  if (!watch) return;
  const bad = (why: string): CmsadmError =>
    new CmsadmError('sshd-judged-bad', `The new sshd configuration of ${change.server} was taken out again: ${why}`, {
      server: change.server,
      remedy: 'Look at the order of Include and Match in its sshd_config.',
    });
  const verdict = await host.system.judge('sshd', '');
  if (verdict.ran && verdict.problem !== undefined) throw bad(verdict.problem);
  for (const [i, connection] of others(watch).entries()) {
    const text = (await host.system.effectiveSshd(connection)) ?? '';
    const changed = differences(parseEffective(before[i] ?? ''), parseEffective(text));
    if (changed.length > 0) throw bad(`${show(connection)} would be treated otherwise (${changed.join(', ')}).`);
  }
  if (!watch.mayEnter) return;
  const root: SshConnection = {
    user: 'root',
    addr: watch.peer.address,
    host: watch.peer.fqdn,
    laddr: watch.own,
    lport: watch.port,
  };
  const effective = parseEffective((await host.system.effectiveSshd(root)) ?? '');
  const reasons = mayRootEnter(effective, undefined, watch.peer.address);
  if (reasons.length > 0) throw bad(`${show(root)} still may not come in (${reasons.join('; ')}).`);
}
