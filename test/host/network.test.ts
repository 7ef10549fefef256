import { describe, expect, test } from 'vitest';
import { parseAddresses, parseListeners, parseRouteSource } from '../../src/host/network.ts';
import { parseOsRelease } from '../../src/host/real-system.ts';

// Shortened from `ip -j -d addr` of a server with two ports, a bridge, a bond and a leased address.
const links = JSON.stringify([
  { ifname: 'lo', link_type: 'loopback', addr_info: [{ local: '127.0.0.1', scope: 'host' }] },
  {
    ifname: 'eno1',
    link_type: 'ether',
    addr_info: [
      { family: 'inet', local: '192.0.2.11', prefixlen: 24, scope: 'global' },
      { family: 'inet6', local: '2001:db8::11', scope: 'global' },
      { family: 'inet6', local: 'fe80::1', scope: 'link' },
    ],
  },
  { ifname: 'eno2', link_type: 'ether', addr_info: [{ local: '198.51.100.7', scope: 'global', dynamic: true }] },
  { ifname: 'eno3', link_type: 'ether', linkinfo: { info_slave_kind: 'bond' }, addr_info: [] },
  { ifname: 'br0', link_type: 'ether', linkinfo: { info_kind: 'bridge' }, addr_info: [] },
  { ifname: 'bond0', link_type: 'ether', linkinfo: { info_kind: 'bond' } },
  {},
]);

describe('addresses', () => {
  test('only global ones count, and leased ones are known', () => {
    expect(parseAddresses(links).addresses).toEqual([
      { interface: 'eno1', address: '192.0.2.11', static: true },
      { interface: 'eno1', address: '2001:db8::11', static: true },
      { interface: 'eno2', address: '198.51.100.7', static: false },
    ]);
  });

  test('ports are what a cable goes into, not what is made of them', () => {
    expect(parseAddresses(links).ethernetPorts).toBe(3);
  });

  test('no text is no address', () => {
    expect(parseAddresses('')).toEqual({ addresses: [], ethernetPorts: 0 });
  });
});

test.each([
  { text: '[{"dst":"192.0.2.12","dev":"eno1","prefsrc":"192.0.2.11","flags":[]}]', source: '192.0.2.11' },
  { text: '[{"dst":"2001:db8::12","prefsrc":"2001:db8::11","metric":0}]', source: '2001:db8::11' },
  { text: '[]', source: undefined },
  { text: '', source: undefined },
  { text: 'RTNETLINK answers: Network is unreachable', source: undefined },
])('the route says $source', ({ text, source }) => {
  expect(parseRouteSource(text)).toBe(source);
});

const tcp = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 17093 1
   1: 0B0200C0:1A9B 0C0200C0:C350 01 00000000:00000000 00:00000000 00000000     0        0 18011 1
`;
const tcp6 = `  sl  local_address                         remote_address                        st
   0: 00000000000000000000000001000000:1A9C 00000000000000000000000000000000:0000 0A 0
`;
const udp = `   sl  local_address rem_address   st tx_queue rx_queue
  411: 00000000:007B 00000000:0000 07 00000000:00000000 00:00000000 00000000
  412: 0100007F:0143 0100007F:A000 01 00000000:00000000 00:00000000 00000000
`;
test.each([
  { name: 'tcp', text: tcp, protocol: 'tcp', ports: [22] },
  { name: 'tcp6', text: tcp6, protocol: 'tcp', ports: [6812] },
  { name: 'udp', text: udp, protocol: 'udp', ports: [123] },
  { name: 'a kernel without that table', text: '', protocol: 'tcp', ports: [] },
] as const)('listeners of $name are those that wait, not the connections', ({ text, protocol, ports }) => {
  expect(parseListeners(text, protocol)).toEqual(ports.map((port) => ({ port, protocol })));
});

test.each([
  {
    text: 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nNAME="Debian GNU/Linux"\nVERSION_ID="12"\nID=debian\n',
    is: { osName: 'Debian GNU/Linux', osVersion: '12', osFamily: 'debian' },
  },
  {
    text: 'NAME="Ubuntu"\nVERSION_ID="24.04"\nID=ubuntu\nID_LIKE=debian\n',
    is: { osName: 'Ubuntu', osVersion: '24.04', osFamily: 'debian' },
  },
  {
    text: 'NAME="Red Hat Enterprise Linux"\nVERSION_ID="9.4"\nID="rhel"\nID_LIKE="fedora"\n',
    is: { osName: 'Red Hat Enterprise Linux', osVersion: '9.4', osFamily: 'rhel' },
  },
  {
    text: 'NAME="Rocky Linux"\nID="rocky"\nID_LIKE="rhel centos fedora"\nVERSION_ID="9.3"\n',
    is: { osName: 'Rocky Linux', osVersion: '9.3', osFamily: 'rhel' },
  },
  {
    text: 'NAME="Arch Linux"\nID=arch\nANSI_COLOR="38;2;23;147;209"\n',
    is: { osName: 'Arch Linux', osVersion: 'unknown', osFamily: 'other' },
  },
  { text: "NAME='Alpine Linux'\nID=alpine\nVERSION_ID=3.20.1\n", is: { osVersion: '3.20.1', osFamily: 'other' } },
  { text: "ID='debian'\nNAME='Debian'\n", is: { osName: 'Debian', osFamily: 'debian' } },
  { text: '', is: { osName: 'unknown', osVersion: 'unknown', osFamily: 'other' } },
])('os-release $is', ({ text, is }) => {
  expect(parseOsRelease(text)).toMatchObject(is);
});
