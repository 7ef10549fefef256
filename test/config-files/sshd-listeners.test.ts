import { expect, test } from 'vitest';
import { parseEffective } from '../../src/config-files/sshd-effective.ts';
import { listenersOf, listenersOfSocket, portsAt } from '../../src/config-files/sshd-listeners.ts';

test.each([
  { name: 'every address', lines: ['port 22', 'listenaddress [::]:22', 'listenaddress 0.0.0.0:22'], ports: [22] },
  { name: 'one address at another port', lines: ['port 22', 'listenaddress 192.0.2.11:2222'], ports: [2222] },
  { name: 'another address', lines: ['port 22', 'listenaddress 127.0.0.1:22'], ports: [] },
  {
    name: 'two ports',
    lines: ['port 22', 'port 2222', 'listenaddress 0.0.0.0:22', 'listenaddress 0.0.0.0:2222'],
    ports: [22, 2222],
  },
  { name: 'IPv6 only', lines: ['port 22', 'listenaddress [::]:22'], ports: [] },
  { name: 'a routing domain', lines: ['listenaddress 192.0.2.11:22 rdomain "mgmt"'], ports: [22] },
  { name: 'no line of its own', lines: ['port 2200'], ports: [2200] },
])('sshd that listens on $name takes connections to its address at $ports', ({ lines, ports }) => {
  expect(portsAt(listenersOf(parseEffective(lines.join('\n'))), '192.0.2.11')).toEqual(ports);
});

test('IPv6 addresses are compared by value', () => {
  const listeners = listenersOf(parseEffective('listenaddress [2001:db8::11]:22'));
  expect(portsAt(listeners, '2001:DB8:0::11')).toEqual([22]);
  expect(portsAt(listeners, '2001:db8::12')).toEqual([]);
});

test.each([
  { name: 'every address takes IPv4 as well', listens: ['[::]:22 (Stream)'], ports: [22] },
  { name: 'two streams', listens: ['0.0.0.0:22 (Stream)', '192.0.2.11:2222 (Stream)'], ports: [22, 2222] },
  { name: 'a path and a datagram are none', listens: ['/run/sshd (Stream)', '[::]:22 (Datagram)'], ports: [] },
])('a socket of systemd on $name', ({ listens, ports }) => {
  expect(portsAt(listenersOfSocket(listens), '192.0.2.11')).toEqual(ports);
});
