import { exec, readFile } from '../lab.ts';
import { labPackages } from '../product.ts';
import { labServers } from '../servers.ts';
import type { PairState } from './references.ts';
import type { Operation, Round } from './schedule.ts';
import { type Both, isOpen, other, type PairServer, type Standing } from './standing.ts';

/** One operation, settled for the state in which it is started. */
export type Deed = {
  readonly operation: Operation;
  readonly from: PairState;
  /** The state that it plans. */
  readonly to: PairState;
  readonly on: PairServer;
  readonly argv: readonly string[];
};

const primaryIn = (state: PairState): PairServer | undefined =>
  state === 'cms1 primary' ? 'cms1' : state === 'cms2 primary' ? 'cms2' : undefined;

const withPrimary = (server: PairServer): PairState => (server === 'cms1' ? 'cms1 primary' : 'cms2 primary');

/** The first operation of the round's preference that the state allows. `standings` tell which tag can be restored. */
export async function chooseDeed(round: Round, from: PairState, standings: Both<Standing>): Promise<Deed> {
  for (const operation of round.operations) {
    const deed = await deedOf(operation, from, round.on, standings);
    if (deed) return deed;
  }
  throw new Error(`no operation is possible in the state "${from}"`);
}

/** An operation in a state, started where it may be, else on `preferred`; undefined where the state allows it not. */
export async function deedOf(
  operation: Operation,
  from: PairState,
  preferred: PairServer,
  standings: Both<Standing>,
): Promise<Deed | undefined> {
  const primary = primaryIn(from);
  const config = ['cmsadm', 'config_HA'];
  if (operation === 'set up') {
    if (primary) return undefined;
    const on = from === 'single' ? 'cms1' : preferred;
    return {
      operation,
      from,
      to: withPrimary(on),
      on,
      argv: [...config, 'setup', ...(await setUpFlags(on, from)), '--yes'],
    };
  }
  if (from === 'single') return undefined;
  if (operation === 'disable') {
    const argv = [...config, 'disable', `--peer=${labServers[other(preferred)].fqdn}`, '--yes'];
    return { operation, from, to: 'single', on: preferred, argv };
  }
  if (operation === 'reverse') {
    if (!primary) return undefined;
    return { operation, from, to: withPrimary(other(primary)), on: primary, argv: [...config, 'reverse', '--yes'] };
  }
  const on = primary ?? preferred;
  const tag = newestTag(standings[on]);
  if (tag === undefined || tag !== newestTag(standings[other(on)])) return undefined;
  const to = await stateBefore(on, tag, from);
  return { operation, from, to, on, argv: [...config, 'restore', `--tag=${tag}`, '--yes'] };
}

/** What set up is told. From nothing it makes its first contact with the other server, else it goes over the link. */
async function setUpFlags(on: PairServer, from: PairState): Promise<string[]> {
  const peer = labServers[other(on)];
  const { stdout } = await exec(peer.name, ['ssh-keygen', '-lf', '/etc/ssh/ssh_host_ed25519_key.pub']);
  const contact = ['--peer-user=root', '--peer-password-file=/root/peer-password'];
  return [
    '--ntp-server=none',
    `--secondary-ip=${peer.address}`,
    `--secondary-fqdn=${peer.fqdn}`,
    `--licence-package=${labPackages.licence}`,
    `--ha-package=${labPackages.haPackage}`,
    ...(from === 'single' ? [...contact, `--peer-fingerprint=${stdout.split(' ')[1]}`] : []),
  ];
}

const newestTag = ({ journals }: Standing): string | undefined =>
  journals
    .filter((journal) => journal.id.endsWith('.change') && journal.decision === 'confirmed' && !isOpen(journal))
    .map(({ id }) => id.slice(0, -'.change'.length))
    .sort((a, b) => Number(b.split('_')[2]) - Number(a.split('_')[2]))[0];

/** The state that a tag's backups hold. */
async function stateBefore(on: PairServer, tag: string, from: PairState): Promise<PairState> {
  const journal = (await readFile(on, `/var/lib/cmsadm/journal/${tag}.change.jsonl`)).toString();
  const saved = /\{"path":"\/var\/lib\/cmsadm\/pair\.json"[^}]*"before":(null|"[0-9a-f]+")/.exec(journal)?.[1];
  if (saved === undefined) return from;
  if (saved === 'null') return 'linked';
  const pair = (await readFile(on, `/var/lib/cmsadm/pair.json.${tag}`)).toString();
  return /"primary": \{[^}]*"fqdn": "cms1\./.test(pair) ? 'cms1 primary' : 'cms2 primary';
}
