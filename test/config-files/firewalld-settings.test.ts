import { expect, test } from 'vitest';
import { lostValues } from '../../src/config-files/firewalld-settings.ts';

const rule = 'rule family="ipv4" source address="192.0.2.12" port port="6811" protocol="tcp" accept';
const zone = (name: string, more: Readonly<Record<string, string>> = {}): string => {
  const settings = { target: 'default', interfaces: '', sources: '', services: 'dhcpv6-client ssh', ports: '' };
  const lines = Object.entries({ ...settings, masquerade: 'no', 'forward-ports': '', 'rich rules': '', ...more });
  return [name, ...lines.map(([key, value]) => `  ${key}: ${value}`), ''].join('\n');
};
const listing = (...zones: string[]): string => zones.join('\n');
const usual = listing(zone('block', { target: '%%REJECT%%', services: '' }), zone('public'));

test.each([
  { name: 'nothing where both are the same', now: usual, lost: [] },
  {
    name: 'nothing for who is active, the default, or bound to an interface',
    now: listing(
      zone('block', { target: '%%REJECT%%', services: '' }),
      zone('public (default, active)', { interfaces: 'eth0 eth1' }),
    ),
    lost: [],
  },
  { name: 'nothing for what only the files have', now: listing(zone('public', { services: '' })), lost: [] },
  {
    name: 'services and ports, each by itself',
    now: listing(zone('public (active)', { services: 'dhcpv6-client https ssh', ports: '2222/tcp 8080/tcp' })),
    lost: ['public: services: https', 'public: ports: 2222/tcp', 'public: ports: 8080/tcp'],
  },
  {
    name: 'sources, by which a zone gets its packets',
    now: listing(zone('block', { target: '%%REJECT%%', services: '', sources: '198.51.100.0/24' }), zone('public')),
    lost: ['block: sources: 198.51.100.0/24'],
  },
  {
    name: 'rich rules and forwarded ports, a line each',
    now: listing(
      zone('public', {
        'forward-ports': '\n\tport=80:proto=tcp:toport=8080:toaddr=',
        'rich rules': `\n\t${rule}\n\trule service name="ssh" accept`,
      }),
    ),
    lost: [
      'public: forward-ports: port=80:proto=tcp:toport=8080:toaddr=',
      `public: rich rules: ${rule}`,
      'public: rich rules: rule service name="ssh" accept',
    ],
  },
  {
    name: 'a target that an edit which nobody loaded makes another',
    now: listing(zone('public', { target: 'ACCEPT', masquerade: 'yes' })),
    lost: ['public: target: ACCEPT', 'public: masquerade: yes'],
  },
  {
    name: 'a zone that has no file any more',
    now: listing(usual, zone('ours', { services: 'ssh' })),
    lost: ['ours: target: default', 'ours: services: ssh', 'ours: masquerade: no'],
  },
])('a reload of firewalld loses $name', ({ now, lost }) => {
  expect(lostValues(now, usual)).toEqual(lost);
});

test('the order of rules means nothing', () => {
  const rules = (...lines: string[]): string => zone('public', { 'rich rules': lines.map((l) => `\n\t${l}`).join('') });
  expect(lostValues(rules('rule a accept', 'rule b accept'), rules('rule b accept', 'rule a accept'))).toEqual([]);
});
