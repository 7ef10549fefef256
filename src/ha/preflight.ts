import * as rhosts from '../config-files/rhosts.ts';
import type { Facts } from '../pair/facts.ts';
import type { Profile } from '../profile/schema.ts';
import type { BothFacts, SetupAnswers } from './answers.ts';
import { type Check, check } from './check.ts';
import type { FileProblem } from './file-changes.ts';
import { firewallInForce, foreignDrops, linesToAdd } from './firewall.ts';
import { loginChecks } from './login-checks.ts';
import { peerPorts } from './wanted-files.ts';

/** Something that was looked at elsewhere (packages, licence, standing) and is told here. */
export type Finding = {
  readonly id: string;
  readonly server: string;
  readonly ok: string | undefined;
  readonly problem?: string;
  readonly remedy?: string;
  readonly details?: readonly string[];
};

export type PreflightInput = {
  readonly facts: BothFacts;
  readonly answers: SetupAnswers;
  readonly profile: Profile;
  /** Milliseconds that the peer's clock is ahead. */
  readonly clockOffset: number;
  /** Milliseconds that a message takes to the peer and back. */
  readonly latency: number;
  readonly problems: { readonly local: readonly FileProblem[]; readonly peer: readonly FileProblem[] };
  readonly findings: readonly Finding[];
};

const NEEDED_MB = 400;
const CLOCK_WARN_MS = 1_000;
const CLOCK_FAIL_MS = 60_000;

/** What no program can see; shown last, to confirm. */
export const toConfirm: readonly string[] = [
  'Each server has its own power supply and UPS.',
  'The links to the switch use separate subnets, one per server.',
  'The switch is administered for both servers (dual links, same release).',
];

/** All checks of set up: pure, on facts that were read before. */
export function preflight(input: PreflightInput): Check[] {
  const { facts, answers } = input;
  const sides = [
    { facts: facts.local, own: answers.self, other: answers.peer, problems: input.problems.local },
    { facts: facts.peer, own: answers.peer, other: answers.self, problems: input.problems.peer },
  ] as const;
  return [
    ...sides.flatMap((side) => ownChecks(side.facts, side.own, side.other, input.profile, answers)),
    ...pairChecks(input),
    ...sides.flatMap((side) => fileChecks(side.own.fqdn, side.problems)),
    ...input.findings.map(findingCheck),
  ];
}

function ownChecks(
  facts: Facts,
  own: { address: string; fqdn: string },
  other: { address: string; fqdn: string; hostname: string },
  profile: Profile,
  answers: SetupAnswers,
): Check[] {
  const { identity } = facts;
  const server = own.fqdn;
  const pairAddress = facts.addresses.find(({ address }) => address === own.address);
  const taken = facts.pair
    ? []
    : profile.ports.filter(({ port, protocol }) =>
        facts.listeners.some((one) => one.port === port && one.protocol === protocol),
      );
  const firewall = firewallInForce(profile, facts);
  const foreign = firewall === 'unknown' ? foreignDrops(profile, facts) : [];
  const firewallFile = profile.firewall[facts.family].path;
  const chronyMissing =
    answers.ntpServer !== null && facts.files.find(({ row }) => row.kind === 'chrony')?.fact.state !== 'file';
  return [
    check(
      'root',
      server,
      identity.root,
      'The program runs as root.',
      'The program does not run as root.',
      'Log in as root, or as a user whom sudo makes root.',
    ),
    check(
      'os',
      server,
      identity.osFamily !== 'other',
      `${identity.osName} ${identity.osVersion}.`,
      `${identity.osName} ${identity.osVersion} is of no known family.`,
      'Use a Debian or Red Hat family system.',
    ),
    check(
      'services',
      server,
      facts.servicesReachable === undefined,
      'The service manager answers.',
      `The service manager does not answer: ${facts.servicesReachable}`,
      'See `systemctl status` there.',
    ),
    check(
      'sshd',
      server,
      facts.sshdProblem === undefined,
      'sshd accepts its configuration.',
      `sshd does not accept its configuration: ${facts.sshdProblem}`,
      'Run `sshd -t` there and correct what it names.',
    ),
    check(
      'release',
      server,
      facts.release !== undefined && facts.load !== undefined,
      `Release ${facts.release}, load ${facts.load}.`,
      `${profile.release.path} does not tell release and load.`,
      'Install the product on this server first.',
    ),
    check(
      'address',
      server,
      pairAddress !== undefined,
      `${own.address} is an address of this server.`,
      `${own.address} is no address of this server.`,
      `Its addresses: ${facts.addresses.map(({ address }) => address).join(', ')}.`,
    ),
    check(
      'static',
      server,
      pairAddress?.static !== false,
      `${own.address} is static.`,
      `${own.address} is leased (DHCP) and may change.`,
      'Give the interface a static address.',
    ),
    check(
      'ethernet',
      server,
      identity.ethernetPorts >= 2,
      `${identity.ethernetPorts} Ethernet ports.`,
      `${identity.ethernetPorts} Ethernet port; two are recommended.`,
      'Add a second port for the link to the switch.',
      'warn',
    ),
    check(
      'disk',
      server,
      facts.disk.freeMb >= NEEDED_MB,
      `${facts.disk.freeMb} MB free.`,
      `Only ${facts.disk.freeMb} MB free; ${NEEDED_MB} MB are needed.`,
      'Make room on the root file system.',
    ),
    check(
      'ports',
      server,
      taken.length === 0,
      'The pair’s ports are free.',
      `Taken: ${taken.map(({ port, protocol }) => `${port}/${protocol}`).join(', ')}.`,
      `Stop what listens there (\`ss -ltnp\`), or change the ports in the profile.`,
    ),
    check(
      'firewall',
      server,
      firewall !== 'unknown',
      firewall === 'none' ? 'No firewall drops the peer.' : `Firewall: ${firewall}.`,
      foreign.length === 0
        ? 'A firewall drops incoming traffic, and none of its files is known.'
        : `Tables that ${firewallFile} does not hold drop incoming traffic: ${foreign.join(', ')}.`,
      foreign.length > 0
        ? `Write them into ${firewallFile}, where the pair’s ports can be opened, or take them out of the kernel.`
        : `Add to it: ${linesToAdd(peerPorts(profile, { ...other })).join('; ')}. Or name its file in the profile.`,
    ),
    ...loginChecks(profile, facts, own),
    ...plusChecks(facts, server),
    ...(chronyMissing
      ? [
          check(
            'time',
            server,
            false,
            '',
            'An NTP server was given, but chrony is not installed.',
            'Install chrony, or leave the NTP server out.',
          ),
        ]
      : []),
  ];
}

// A + in .rhosts lets everybody in; it is the administrator's line, so it is told and not touched.
function plusChecks(facts: Facts, server: string): Check[] {
  const file = facts.files.find(({ row }) => row.kind === 'rhosts')?.fact;
  if (file?.state !== 'file' || !rhosts.hasPlus(file.content)) return [];
  return [
    check(
      'rhosts',
      server,
      false,
      '',
      '/root/.rhosts holds a "+", which trusts everybody.',
      'Take that line out.',
      'warn',
    ),
  ];
}

function pairChecks({ facts: { local, peer }, answers, clockOffset, latency, profile }: PreflightInput): Check[] {
  const both = 'both';
  const zones = `${local.identity.timeZone} and ${peer.identity.timeZone}`;
  const differing = storageDifferences(local, peer, profile);
  const weaker = capacityDifferences(local, peer);
  const offset = Math.abs(clockOffset);
  return [
    check(
      'family',
      both,
      local.family === peer.family,
      'Same family of operating system.',
      'Different families of operating systems.',
      'Use the same system on both servers.',
      'warn',
    ),
    check(
      'os-version',
      both,
      local.identity.osVersion === peer.identity.osVersion,
      `Same version ${local.identity.osVersion}.`,
      `Versions ${local.identity.osVersion} and ${peer.identity.osVersion}.`,
      'Bring both to the same version.',
      'warn',
    ),
    ...releaseCheck(local, peer),
    check(
      'capacity',
      both,
      weaker.length === 0,
      'Similar capacity.',
      'Different capacity.',
      'The smaller server must carry the whole load alone.',
      'warn',
      weaker,
    ),
    check(
      'storage',
      both,
      differing.length === 0,
      'Same data storage parameters.',
      'Different data storage parameters.',
      `Make ${profile.storage?.path} equal on both servers.`,
      'fail',
      differing,
    ),
    check(
      'time-zone',
      both,
      local.identity.timeZone === peer.identity.timeZone || answers.ntpServer !== null,
      answers.ntpServer === null
        ? `Same time zone ${local.identity.timeZone}.`
        : `Time zones ${zones}, NTP server ${answers.ntpServer}.`,
      `Different time zones (${zones}) and no NTP server.`,
      'Give the NTP server’s IP address (--ntp-server).',
    ),
    check(
      'clock',
      both,
      offset < CLOCK_WARN_MS,
      'The clocks agree.',
      `The clocks differ by ${(offset / 1000).toFixed(1)} s.`,
      'Set the clock, or give an NTP server.',
      offset < CLOCK_FAIL_MS || answers.ntpServer !== null ? 'warn' : 'fail',
    ),
    check(
      'latency',
      both,
      2 * latency <= profile.keepalive.seconds * 1000,
      `A message to the peer and back takes ${shownMs(latency)}; admin-sync gives a sign of life every ${profile.keepalive.seconds} s.`,
      `A message to the peer and back takes ${shownMs(latency)}, more than half of the ${profile.keepalive.seconds} s between two signs of life.`,
      'Look for what slows the line between the servers, or give the profile a longer `keepalive`.',
      'warn',
    ),
    check(
      'profile',
      both,
      local.profile === peer.profile,
      `Same profile ${local.profile}.`,
      `Profiles ${local.profile} and ${peer.profile}.`,
      'Name the same profile in /etc/cmsadm/settings.yaml on both.',
    ),
  ];
}

const shownMs = (milliseconds: number): string =>
  milliseconds < 1 ? 'less than 1 ms' : `${Math.round(milliseconds)} ms`;

// Where a server does not tell its release, its own check says so.
function releaseCheck(local: Facts, peer: Facts): Check[] {
  if ([local, peer].some(({ release, load }) => release === undefined || load === undefined)) return [];
  return [
    check(
      'same-release',
      'both',
      local.release === peer.release && local.load === peer.load,
      'Same release and base load.',
      `Release ${local.release} load ${local.load} here, ${peer.release} load ${peer.load} on the peer.`,
      'Upgrade the older server first.',
    ),
  ];
}

function storageDifferences(local: Facts, peer: Facts, profile: Profile): string[] {
  if (!profile.storage) return [];
  const keys =
    profile.storage.keys.length > 0
      ? profile.storage.keys
      : [...new Set([...Object.keys(local.storage), ...Object.keys(peer.storage)])].sort();
  return keys
    .filter((key) => local.storage[key] !== peer.storage[key])
    .map((key) => `${key}: ${local.storage[key] ?? 'absent'} here, ${peer.storage[key] ?? 'absent'} on the peer`);
}

function capacityDifferences(local: Facts, peer: Facts): string[] {
  const compare = (what: string, a: number, b: number): string[] =>
    Math.min(a, b) < 0.75 * Math.max(a, b) ? [`${what}: ${a} here, ${b} on the peer`] : [];
  return [
    ...compare('processors', local.identity.cpus, peer.identity.cpus),
    ...compare('memory MB', local.identity.memoryMb, peer.identity.memoryMb),
    ...compare('disk MB', local.disk.totalMb, peer.disk.totalMb),
  ];
}

const fileChecks = (server: string, problems: readonly FileProblem[]): Check[] =>
  problems.length === 0
    ? [{ id: 'files', server, level: 'pass', text: 'Every managed file can be changed as planned.' }]
    : problems.map(({ text, remedy, details }) => ({
        id: 'files',
        server,
        level: 'fail',
        text,
        remedy,
        ...(details.length > 0 ? { details } : {}),
      }));

const findingCheck = ({ id, server, ok, problem, remedy, details }: Finding): Check =>
  ok !== undefined && problem === undefined
    ? { id, server, level: 'pass', text: ok }
    : {
        id,
        server,
        level: 'fail',
        text: problem ?? '',
        ...(remedy ? { remedy } : {}),
        ...(details?.length ? { details } : {}),
      };

export const failed = (checks: readonly Check[]): boolean => checks.some(({ level }) => level === 'fail');
