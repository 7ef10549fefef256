import { differences, type Effective, mayRootEnter, parseEffective } from '../config-files/sshd-effective.ts';
import { namedIn } from '../config-files/sshd-named.ts';
import { CmsadmError } from '../errors.ts';
import { list, readText } from '../host/root.ts';
import type { Host, SshConnection } from '../host/system.ts';
import { paths } from '../pair/state.ts';
import type { Change } from './change.ts';

type Watch = NonNullable<Change['sshWatch']>;

/** What sshd decided before the change for each watched connection, and whether it answered. */
export type Watched = {
  readonly decided: readonly { readonly connection: SshConnection; readonly effective: Effective }[];
  readonly answers: boolean;
};

/** A stranger's address, of RFC 5737. */
const ELSEWHERE = '192.0.2.77';
/** As many users and addresses are looked at as sshd answers for within a quarter of a second. */
const USERS = 8;
const ADDRESSES = 6;

/** People who log in here: passwd(5), with a shell that lets them. */
const people = (host: Host): string[] =>
  (readText(host.root, '/etc/passwd') ?? '')
    .split('\n')
    .map((line) => line.split(':'))
    .filter(([, , uid = '', , , , shell = '']) => Number(uid) >= 1000 && !/(nologin|false|sync)$/.test(shell))
    .flatMap(([name]) => name || []);

const sshdTexts = (host: Host): string[] =>
  ['/etc/ssh/sshd_config', ...list(host.root, paths.sshdDropIns).map((name) => `${paths.sshdDropIns}/${name}`)].map(
    (path) => readText(host.root, path) ?? '',
  );

/**
 * Connections that an edit of sshd's files must leave as they are: root and others from elsewhere, others from the
 * peer, those whom the configuration names, people with an account, and the operator.
 */
function others(host: Host, watch: Watch): SshConnection[] {
  const named = namedIn(sshdTexts(host));
  const [from = '', , operatorsOwn = watch.own, operatorsPort] = (process.env['SSH_CONNECTION'] ?? '').split(' ');
  const operator = process.env['SUDO_USER'];
  const users = [
    ...new Set([...(operator === undefined ? [] : [operator]), 'nobody', ...named.users, ...people(host)]),
  ].filter((user) => user !== 'root');
  const addresses = [...new Set([ELSEWHERE, ...(from === '' ? [] : [from]), ...named.addresses])].filter(
    (address) => address !== watch.peer.address,
  );
  const connection = (user: string, addr: string): SshConnection => ({
    user,
    addr,
    host: addr === watch.peer.address ? watch.peer.fqdn : addr === ELSEWHERE ? 'elsewhere.invalid' : addr,
    ...(addr === from
      ? { laddr: operatorsOwn, lport: Number(operatorsPort ?? watch.port) }
      : { laddr: watch.own, lport: watch.port }),
  });
  return [
    ...addresses.slice(0, ADDRESSES).map((address) => connection('root', address)),
    ...users.slice(0, USERS).flatMap((user) => [connection(user, ELSEWHERE), connection(user, watch.peer.address)]),
  ];
}

const show = (c: SshConnection): string => `${c.user} from ${c.addr}`;

/** What sshd decides for the watched connections now; undefined where sshd can't be asked (rehearsal). */
export async function watchSshd(host: Host, watch: Watch): Promise<Watched | undefined> {
  const connections = others(host, watch);
  const [answers, ...texts] = await Promise.all([
    // Twice: one that was dropped, or heard of too late, must not turn the watch off.
    sshAnswers(host, watch).then((answers) => answers || sshAnswers(host, watch)),
    ...connections.map((connection) => host.system.effectiveSshd(connection)),
  ]);
  const decided = connections.flatMap((connection, i) => {
    const text = texts[i];
    return text === undefined ? [] : [{ connection, effective: parseEffective(text) }];
  });
  return decided.length === connections.length ? { decided, answers } : undefined;
}

/**
 * Asserts, with the new configuration in place and before sshd reads it, that it is valid, that root may come in from
 * the peer, and that no other connection is treated otherwise than before. (sshd(8), -t and -T -C)
 * @throws CmsadmError sshd-judged-bad
 */
export async function assertSshd(host: Host, change: Change, before: Watched): Promise<void> {
  const watch = change.sshWatch;
  if (!watch) return;
  const bad = (why: string): CmsadmError =>
    new CmsadmError('sshd-judged-bad', `The new sshd configuration of ${change.server} was taken out again: ${why}`, {
      server: change.server,
      remedy: 'Look at the order of Include and Match in its sshd_config.',
    });
  const verdict = await host.system.judge('sshd', '');
  if (verdict.ran && verdict.problem !== undefined) throw bad(verdict.problem);
  const root: SshConnection = {
    user: 'root',
    addr: watch.peer.address,
    host: watch.peer.fqdn,
    laddr: watch.own,
    lport: watch.port,
  };
  const [roots, ...now] = await Promise.all(
    [root, ...before.decided.map(({ connection }) => connection)].map(async (connection) =>
      parseEffective((await host.system.effectiveSshd(connection)) ?? ''),
    ),
  );
  for (const [i, { connection, effective }] of before.decided.entries()) {
    const changed = differences(effective, now[i] ?? new Map());
    if (changed.length > 0) throw bad(`${show(connection)} would be treated otherwise (${changed.join(', ')}).`);
  }
  if (!watch.mayEnter) return;
  const reasons = mayRootEnter(roots ?? new Map(), undefined, watch.peer.address);
  if (reasons.length > 0) throw bad(`${show(root)} still may not come in (${reasons.join('; ')}).`);
}

/** Seconds in which sshd must greet again after it read its configuration anew. */
const GREETING_SECONDS = 10;

/**
 * Asserts that sshd still greets whoever comes, where it did before: one that died of its reload is put back at once.
 * @throws CmsadmError sshd-silent
 */
export async function assertSshdAnswers(host: Host, change: Change, before: Watched): Promise<void> {
  const watch = change.sshWatch;
  if (!watch || !before.answers) return;
  const deadline = host.system.elapsed() + GREETING_SECONDS * 1000;
  // Twice: a listener that has yet to act on the signal would answer once more.
  for (let greetings = 0; greetings < 2; ) {
    greetings = (await sshAnswers(host, watch)) ? greetings + 1 : 0;
    if (greetings === 0 && host.system.elapsed() > deadline)
      throw new CmsadmError('sshd-silent', `sshd of ${change.server} does not answer any more.`, {
        server: change.server,
        remedy: 'See `journalctl -u ssh -u sshd` there.',
      });
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

/** RFC 4253, 4.2: a server greets with `SSH-`, before anybody says who he is. */
async function sshAnswers(host: Host, { own, port }: Watch): Promise<boolean> {
  try {
    const socket = await host.system.connect(own, port);
    // Of an sshd that hangs the kernel still takes connections.
    const mute = setTimeout(() => socket.destroy(), GREETING_SECONDS * 1000);
    try {
      socket.once('error', () => {});
      for await (const data of socket) return String(data).includes('SSH-');
      return false;
    } finally {
      clearTimeout(mute);
      socket.destroy();
    }
  } catch {
    return false; // nobody listens: that is the answer
  }
}
