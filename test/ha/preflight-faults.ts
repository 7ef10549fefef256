// What may be wrong with two servers, as preflight sees it: one thing in each case.
import type { FileProblem } from '../../src/ha/file-changes.ts';
import type { PreflightInput } from '../../src/ha/preflight.ts';
import type { Facts } from '../../src/pair/facts.ts';

/** The same input with other facts of the peer. */
export const withPeer = (input: PreflightInput, more: Partial<Facts>): PreflightInput => ({
  ...input,
  facts: { ...input.facts, peer: { ...input.facts.peer, ...more } },
});
export const withIdentity = (input: PreflightInput, more: Partial<Facts['identity']>): PreflightInput =>
  withPeer(input, { identity: { ...input.facts.peer.identity, ...more } });
export const withAnswers = (input: PreflightInput, more: Partial<PreflightInput['answers']>): PreflightInput => ({
  ...input,
  answers: { ...input.answers, ...more },
});
/** An sshd that read its files at this time, and files that were changed at these. */
export const withSshd = (input: PreflightInput, readAt: number, ...changed: number[]): PreflightInput =>
  withPeer(input, {
    units: {
      ...input.facts.peer.units,
      'ssh.service': { exists: true, active: true, enabled: true, changedAt: readAt },
    },
    sshdFiles: changed.map((changedAt, i) => ({ path: `/etc/ssh/file-${i + 1}`, changedAt })),
  });
export type PreflightFault = {
  readonly name: string;
  readonly input: (input: PreflightInput) => PreflightInput;
  readonly id: string;
  readonly level: 'warn' | 'fail';
  readonly server: 'both' | 'cms2.example.com';
  readonly says: RegExp;
};
const peer = 'cms2.example.com';

export const preflightFaults: readonly PreflightFault[] = [
  {
    name: 'not root',
    input: (i) => withIdentity(i, { root: false }),
    id: 'root',
    level: 'fail',
    server: peer,
    says: /root/,
  },
  {
    name: 'an unknown system',
    input: (i) => withIdentity(i, { osFamily: 'other', osName: 'Plan 9' }),
    ...{ id: 'os', level: 'fail', server: peer, says: /Plan 9/ },
  },
  {
    name: 'a service manager that does not answer',
    input: (i) => withPeer(i, { servicesReachable: 'systemd does not answer.' }),
    ...{ id: 'services', level: 'fail', server: peer, says: /systemd does not answer/ },
  },
  {
    name: 'an sshd that refuses its configuration',
    input: (i) => withPeer(i, { sshdProblem: 'sshd does not accept it.' }),
    ...{ id: 'sshd', level: 'fail', server: peer, says: /does not accept/ },
  },
  {
    name: 'an sshd that listens elsewhere only',
    input: (i) => withPeer(i, { sshListeners: [{ address: '127.0.0.1', port: 22 }] }),
    ...{ id: 'ssh-address', level: 'fail', server: peer, says: /192\.0\.2\.12, only on 127\.0\.0\.1 port 22/ },
  },
  {
    name: 'a folder of keys that everybody may write',
    input: (i) => withPeer(i, { keyFolders: [{ path: '/root/.ssh', mode: 0o777, owner: 'root', group: 'root' }] }),
    ...{ id: 'key-modes', level: 'fail', server: peer, says: /\/root\/\.ssh .*mode 777[\s\S]*chmod go-w/ },
  },
  {
    name: 'a folder of keys that is not root’s',
    input: (i) => withPeer(i, { keyFolders: [{ path: '/root', mode: 0o700, owner: 'ops', group: 'ops' }] }),
    ...{ id: 'key-modes', level: 'fail', server: peer, says: /\/root .*ops[\s\S]*chown root/ },
  },
  {
    name: 'an edit of sshd’s files that nobody loaded',
    input: (i) => withSshd(i, 1_000, 999, 1_001),
    ...{
      id: 'sshd-pending',
      level: 'warn',
      server: peer,
      says: /^\/etc\/ssh\/file-2 was changed[\s\S]*reload ssh\.service/,
    },
  },
  {
    name: 'no product',
    input: (i) => withPeer(i, { release: undefined }),
    ...{ id: 'release', level: 'fail', server: peer, says: /\/cms\/install\/release/ },
  },
  {
    name: 'an address that the server does not have',
    input: (i) => withPeer(i, { addresses: [{ interface: 'eth0', address: '192.0.2.99', static: true }] }),
    ...{ id: 'address', level: 'fail', server: peer, says: /192\.0\.2\.12/ },
  },
  {
    name: 'a leased address',
    input: (i) => withPeer(i, { addresses: [{ interface: 'eth0', address: '192.0.2.12', static: false }] }),
    ...{ id: 'static', level: 'fail', server: peer, says: /192\.0\.2\.12 is leased/ },
  },
  {
    name: 'one Ethernet port',
    input: (i) => withIdentity(i, { ethernetPorts: 1 }),
    ...{ id: 'ethernet', level: 'warn', server: peer, says: /1 Ethernet port/ },
  },
  {
    name: 'a full disk',
    input: (i) => withPeer(i, { disk: { freeMb: 3, totalMb: 250000 } }),
    ...{ id: 'disk', level: 'fail', server: peer, says: /3 MB/ },
  },
  {
    name: 'a port that is taken',
    input: (i) => withPeer(i, { listeners: [{ port: 6811, protocol: 'tcp' }] }),
    ...{ id: 'ports', level: 'fail', server: peer, says: /6811\/tcp/ },
  },
  {
    name: 'a drop that no managed file explains',
    input: (i) =>
      withPeer(i, {
        firewall: { firewalldActive: false, nftRuleset: '', iptables: '*filter\n:INPUT DROP [0:0]\nCOMMIT\n' },
        files: i.facts.peer.files.filter(({ row }) => row.kind !== 'nftables'),
      }),
    ...{ id: 'firewall', level: 'fail', server: peer, says: /drops incoming/ },
  },
  {
    name: 'firewalld where another firewall is managed',
    input: (i) => withPeer(i, { firewall: { firewalldActive: true, nftRuleset: '', iptables: '' } }),
    ...{ id: 'firewall', level: 'fail', server: peer, says: /drops incoming/ },
  },
  {
    name: 'an NTP server, but no chrony',
    input: (i) =>
      withAnswers(withPeer(i, { files: i.facts.peer.files.filter(({ row }) => row.kind !== 'chrony') }), {
        ntpServer: '192.0.2.123',
      }),
    ...{ id: 'time', level: 'fail', server: peer, says: /chrony is not installed/ },
  },
  {
    name: 'a .rhosts that trusts everybody',
    input: (i) =>
      withPeer(i, {
        files: i.facts.peer.files.map((file) =>
          file.row.kind === 'rhosts' && file.fact.state === 'file'
            ? { ...file, fact: { ...file.fact, content: '+ root\n' } }
            : file,
        ),
      }),
    ...{ id: 'rhosts', level: 'warn', server: peer, says: /trusts everybody/ },
  },
  {
    name: 'two families',
    input: (i) => withPeer(i, { family: 'rhel', firewall: { firewalldActive: false, nftRuleset: '', iptables: '' } }),
    ...{ id: 'family', level: 'warn', server: 'both', says: /[Ff]amilies/ },
  },
  {
    name: 'two versions of the system',
    input: (i) => withIdentity(i, { osVersion: '13' }),
    ...{ id: 'os-version', level: 'warn', server: 'both', says: /12 and 13/ },
  },
  {
    name: 'two releases',
    input: (i) => withPeer(i, { release: '20.0' }),
    ...{ id: 'same-release', level: 'fail', server: 'both', says: /21\.0 .*20\.0/ },
  },
  {
    name: 'two base loads',
    input: (i) => withPeer(i, { load: '21.0.0.9' }),
    ...{ id: 'same-release', level: 'fail', server: 'both', says: /21\.0\.0\.1 .*21\.0\.0\.9/ },
  },
  {
    name: 'half the memory',
    input: (i) => withIdentity(i, { memoryMb: 16384 }),
    ...{ id: 'capacity', level: 'warn', server: 'both', says: /memory MB: 32768 here, 16384/ },
  },
  {
    name: 'other data storage parameters',
    input: (i) => withPeer(i, { storage: { ...i.facts.peer.storage, DAILY_YEARS: '3', EXTRA: '1' } }),
    ...{
      id: 'storage',
      level: 'fail',
      server: 'both',
      says: /DAILY_YEARS: 5 here, 3 on the peer[\s\S]*EXTRA: absent here/,
    },
  },
  {
    name: 'two time zones and no NTP server',
    input: (i) => withIdentity(i, { timeZone: 'Asia/Tokyo' }),
    ...{ id: 'time-zone', level: 'fail', server: 'both', says: /Europe\/Zurich and Asia\/Tokyo[\s\S]*--ntp-server/ },
  },
  {
    name: 'a slow line',
    input: (i) => ({ ...i, latency: 2_501 }),
    ...{
      id: 'latency',
      level: 'warn',
      server: 'both',
      says: /takes 2501 ms, more than half of the 5 s[\s\S]*keepalive/,
    },
  },
  {
    name: 'a line that is slow for the keepalive of the profile',
    input: (i) => ({ ...i, latency: 600, profile: { ...i.profile, keepalive: { seconds: 1, reconnect: 20 } } }),
    ...{ id: 'latency', level: 'warn', server: 'both', says: /takes 600 ms, more than half of the 1 s/ },
  },
  {
    name: 'clocks a little apart',
    input: (i) => ({ ...i, clockOffset: -5_000 }),
    ...{ id: 'clock', level: 'warn', server: 'both', says: /5\.0 s/ },
  },
  {
    name: 'clocks far apart',
    input: (i) => ({ ...i, clockOffset: 90_000 }),
    ...{ id: 'clock', level: 'fail', server: 'both', says: /90\.0 s/ },
  },
  {
    name: 'two profiles',
    input: (i) => withPeer(i, { profile: 'site' }),
    ...{ id: 'profile', level: 'fail', server: 'both', says: /cms and site/ },
  },
  {
    name: 'a file that cannot be brought to what is wanted',
    input: (i) => {
      const problem: FileProblem = {
        path: '/etc/hosts',
        text: 'The hosts file contradicts the pair.',
        details: ['a line'],
        remedy: 'Correct it.',
      };
      return { ...i, problems: { local: [], peer: [problem] } };
    },
    ...{ id: 'files', level: 'fail', server: peer, says: /contradicts[\s\S]*a line/ },
  },
  {
    name: 'what was looked at elsewhere',
    input: (i) => ({
      ...i,
      findings: [{ id: 'busy', server: peer, ok: undefined, problem: 'anna is at it.', remedy: 'Wait.' }],
    }),
    ...{ id: 'busy', level: 'fail', server: peer, says: /anna is at it/ },
  },
];
