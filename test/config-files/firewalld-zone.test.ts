import { describe, expect, test } from 'vitest';
import { edit, undo } from '../../src/config-files/firewalld-zone.ts';
import type { PeerPort } from '../../src/config-files/server.ts';
import { refusalOf, testLaws } from './generated-texts.ts';

const ports: PeerPort[] = [
  { port: 22, protocol: 'tcp', from: '10.0.0.2' },
  { port: 6790, protocol: 'udp', from: '2001:db8::2' },
];
const rule4 = '<rule family="ipv4"><source address="10.0.0.2"/><port port="22" protocol="tcp"/><accept/></rule>';
const rule6 = '<rule family="ipv6"><source address="2001:db8::2"/><port port="6790" protocol="udp"/><accept/></rule>';
const block = `  <!-- cmsadm begin -->\n  ${rule4}\n  ${rule6}\n  <!-- cmsadm end -->\n`;

describe('rich rules for the peer', () => {
  test.each([
    {
      name: 'stand before the end of the zone',
      before: '<?xml version="1.0"?>\n<zone>\n  <short>Public</short>\n</zone>\n',
      after: `<?xml version="1.0"?>\n<zone>\n  <short>Public</short>\n${block}</zone>\n`,
    },
    {
      name: 'take CRLF and indentation as they are',
      before: '<zone>\r\n  </zone>',
      after: `<zone>\r\n${block.replaceAll('\n', '\r\n')}  </zone>`,
    },
    {
      name: 'fit into a line',
      before: '<zone><service name="ssh"/></zone>',
      after: `<zone><service name="ssh"/><!-- cmsadm begin -->${rule4}${rule6}<!-- cmsadm end --></zone>`,
    },
    {
      name: 'are not put into a comment',
      before: '<zone>\n</zone>\n<!--\n</zone>\n-->\n',
      after: `<zone>\n${block}</zone>\n<!--\n</zone>\n-->\n`,
    },
    {
      name: 'are there already, as firewalld itself writes them',
      before: `<zone>\n${[rule4, rule6].join('\n').replaceAll('><', '>\n    <')}\n</zone>\n`,
      after: undefined,
    },
  ])('$name', ({ before, after }) => {
    const edited = edit(before, { ports });
    expect(edited).toBe(after ?? before);
    expect(undo(edited)).toBe(before);
  });

  test('leave what the administrator wrote between the marks', () => {
    const changed = edit('<zone>\n</zone>\n', { ports }).replace(`  ${rule6}`, `  <service name="x"/>\n  ${rule6}`);
    expect(undo(changed)).toBe('<zone>\n  <service name="x"/>\n</zone>\n');
  });

  test.each(['', '<zone/>\n', '<zone><!-- </zone> -->'])(
    'are given to the operator where there is no end of the zone: %j',
    (text) => {
      expect(refusalOf(() => edit(text, { ports }))).toEqual({ code: 'firewall-unreadable', details: [rule4, rule6] });
    },
  );
});

testLaws(
  'firewalld',
  ['  <service name="ssh"/>', '  </zone>', '<!-- a', 'b -->', `  ${rule4}`, '\t<port port="1" protocol="tcp"/>'],
  (text) => `<zone>\n${text}\n</zone>\n`,
);
