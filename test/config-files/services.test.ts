import { describe, expect, test } from 'vitest';
import { edit, parse, type Service, undo } from '../../src/config-files/services.ts';
import { refusalOf, testLaws, withoutDigests } from './generated-texts.ts';

const heartbeat: Service = { name: 'cms-hb', port: 6790, protocol: 'udp', comment: 'heartbeat' };
const database: Service = { name: 'cms_net', port: 6800, protocol: 'tcp', aliases: ['cmsnet'] };

describe('entries are read as glibc reads them', () => {
  test.each([
    { text: 'ssh 22/tcp', names: ['ssh'], port: 22 },
    { text: 'tcpmux\t\t1/tcp a b # comment c', names: ['tcpmux', 'a', 'b'], port: 1 },
    { text: '  whois++ 63/tcp', names: ['whois++'], port: 63 },
    { text: 'z39.50 210/tcp#', names: ['z39.50'], port: 210 },
    { text: 'SWRPC.ACCESS.BSS:BS_rmq 5/tcp # ', names: ['SWRPC.ACCESS.BSS:BS_rmq'], port: 5 },
    { text: 'sql*net 66/sctp b,c', names: ['sql*net', 'b,c'], port: 66 },
    { text: 'zero 0/proto', names: ['zero'], port: 0 },
    { text: 'x11 6000-6063/tcp', names: undefined, port: undefined },
    { text: 'two names 5/tcp', names: undefined, port: undefined },
    { text: '# ssh 22/tcp', names: undefined, port: undefined },
  ])('$text', ({ text, names, port }) => {
    const entry = parse(text)[0]?.entry;
    expect([entry?.names, entry?.port]).toEqual([names, port]);
  });
});

describe('the wanted services', () => {
  test.each([
    {
      name: 'are added at the end',
      before: 'ssh 22/tcp\n',
      after: 'ssh 22/tcp\ncms-hb\t6790/udp # heartbeat # cmsadm\ncms_net\t6800/tcp\tcmsnet # cmsadm\n',
    },
    {
      name: 'stay as they are in any spacing',
      before: 'cms-hb    6790/udp# c\n\tcms_net 6800/tcp',
      after: 'cms-hb    6790/udp# c\n\tcms_net 6800/tcp',
    },
    {
      name: 'may be there as an alias of the same port',
      before: 'beat 6790/udp cms-hb\r\n',
      after: 'beat 6790/udp cms-hb\r\ncms_net\t6800/tcp\tcmsnet # cmsadm\r\n',
    },
    {
      name: 'do not mind the same port of another protocol',
      before: 'other 6790/tcp\nother 6800/udp',
      after:
        'other 6790/tcp\nother 6800/udp\ncms-hb\t6790/udp # heartbeat # cmsadm\ncms_net\t6800/tcp\tcmsnet # cmsadm',
    },
  ])('$name', ({ before, after }) => {
    const edited = edit(before, { entries: [heartbeat, database] });
    expect(withoutDigests(edited)).toBe(after);
    expect(undo(edited)).toBe(before);
  });

  test('are refused, all at once, where name or port is taken', () => {
    const text = 'cms-hb 7000/udp\ngnutella 6800/tcp\n';
    expect(refusalOf(() => edit(text, { entries: [heartbeat, database] }))).toEqual({
      code: 'service-taken',
      details: ['cms-hb/udp has the port 7000, not 6790.', '6800/tcp belongs to gnutella, not to cms_net.'],
    });
  });
});

testLaws('services', [
  'ssh 22/tcp # Secure Shell',
  'cmspair-hb  49151/udp  # x',
  'other 49151/udp',
  'x11 6000-6063/tcp',
  'two names 5/tcp',
  'ircd 6667/tcp ircd,ircu3',
]);
