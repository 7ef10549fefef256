import { describe, expect, test } from 'vitest';
import { edit, parse, undo } from '../../src/config-files/sqlhosts.ts';
import { refusalOf, testLaws, withoutDigests } from './generated-texts.ts';

const first = { name: 'cms_net1', nettype: 'onsoctcp', host: 'cms1', service: 'cms_net' };
const second = { name: 'cms_net2', nettype: 'onsoctcp', host: 'cms2', service: 'cms_net' };
const firstLine = 'cms_net1\tonsoctcp\tcms1\tcms_net';
const secondLine = 'cms_net2\tonsoctcp\tcms2\tcms_net';

describe('the database servers of the pair', () => {
  test.each([
    {
      name: 'are added as one block',
      before: '',
      after: `# cmsadm begin\n${firstLine}\n${secondLine}\n# cmsadm end\n`,
    },
    {
      name: 'stay with their options and spacing',
      before: ` cms_net1  onsoctcp CMS1 cms_net k=1,g=pair\n${secondLine}\r\n`,
      after: ` cms_net1  onsoctcp CMS1 cms_net k=1,g=pair\n${secondLine}\r\n`,
    },
    {
      name: 'leave groups, members and incomplete lines alone',
      before: `g1 group - - i=3\nold onipcshm cms1 on_old g=g1\nhalf onsoctcp\n#${firstLine}\n${secondLine}`,
      after: `g1 group - - i=3\nold onipcshm cms1 on_old g=g1\nhalf onsoctcp\n#${firstLine}\n${secondLine}\n# cmsadm begin\n${firstLine}\n# cmsadm end`,
    },
  ])('$name', ({ before, after }) => {
    const edited = edit(before, { entries: [first, second] });
    expect(withoutDigests(edited)).toBe(after);
    expect(undo(edited)).toBe(before);
  });

  test.each([
    'cms_net1 onsoctcp cms9 cms_net',
    'cms_net1 onsoctcp cms1 other',
    'cms_net1 onipcshm cms1 cms_net',
    'cms_net1 group - - i=3',
  ])('are refused where the name stands for another: %s', (line) => {
    const stands = line.split(' ').slice(1, 4).join(' ');
    expect(refusalOf(() => edit(`${line}\n`, { entries: [first] }))).toEqual({
      code: 'sqlhosts-taken',
      details: [`cms_net1 is ${stands}, not onsoctcp cms1 cms_net.`],
    });
  });

  test('are read with all their options', () => {
    expect(parse('a\tonsoctcp h s b=1 , k=0\n')[0]?.entry).toEqual({
      name: 'a',
      nettype: 'onsoctcp',
      host: 'h',
      service: 's',
      options: 'b=1 , k=0',
    });
  });
});

testLaws('sqlhosts', [
  'cms_pair_1 onsoctcp cms1 cms_pair k=1',
  'cms_pair_2\tonsoctcp\tcms2\tcms_pair',
  'g1 group - - i=3',
  'a onsoctcp h s g=g1',
  '#a onsoctcp h s',
]);
