import { describe, expect, test } from 'vitest';
import { edit, undo, type WantedOpenPorts } from '../../src/config-files/open-ports.ts';
import { testLaws, withoutDigests } from './generated-texts.ts';

const ports: WantedOpenPorts['ports'] = [
  { port: 22, protocol: 'tcp', from: '10.0.0.2', purpose: 'link' },
  { port: 6790, protocol: 'udp', from: '10.0.0.2', purpose: 'heartbeat' },
];

describe('the ports of the pair', () => {
  test.each([
    {
      name: 'are added, each with its purpose',
      before: '# ports\n80/tcp  any  # web\n',
      after:
        '# ports\n80/tcp  any  # web\n22/tcp  10.0.0.2  # link # cmsadm\n6790/udp  10.0.0.2  # heartbeat # cmsadm\n',
    },
    {
      name: 'are open already for the address, or for any',
      before: '22/TCP any\r\n\t6790/udp 10.0.0.2# x',
      after: '22/TCP any\r\n\t6790/udp 10.0.0.2# x',
    },
    {
      name: 'are not opened by another protocol, address, or a comment',
      before: '22/udp any\n22/tcp 10.0.0.20\n# 22/tcp any\n6790/udp any\n',
      after: '22/udp any\n22/tcp 10.0.0.20\n# 22/tcp any\n6790/udp any\n22/tcp  10.0.0.2  # link # cmsadm\n',
    },
  ])('$name', ({ before, after }) => {
    const edited = edit(before, { ports });
    expect(withoutDigests(edited)).toBe(after);
    expect(undo(edited)).toBe(before);
  });
});

testLaws('open_ports', ['22/tcp any # ssh', '6791/tcp 192.0.2.12', '6792/udp any', '# 6791/tcp any', '80/tcp a b']);
