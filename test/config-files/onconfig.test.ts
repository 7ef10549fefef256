import { describe, expect, test } from 'vitest';
import { edit, read, undo } from '../../src/config-files/onconfig.ts';
import { testLaws, withoutDigests } from './generated-texts.ts';

describe('the aliases', () => {
  test.each([
    {
      name: 'get a parameter of their own',
      before: 'DBSERVERNAME cms_ol\n',
      after: 'DBSERVERNAME cms_ol\n# cmsadm begin\nDBSERVERALIASES cms_a,cms_b\n# cmsadm end\n',
    },
    {
      name: 'go behind those that are there, the old line gives way',
      before: 'ROOTNAME rootdbs # Root\nDBSERVERALIASES  old , cms_b # names\nLTAPEDEV\n',
      after:
        'ROOTNAME rootdbs # Root\n#cmsadm was# DBSERVERALIASES  old , cms_b # names\n# cmsadm begin\nDBSERVERALIASES old,cms_b,cms_a\n# cmsadm end\nLTAPEDEV\n',
    },
    {
      name: 'fill an empty parameter',
      before: 'DBSERVERALIASES\r\nDBSERVERNAME x\r\n',
      after:
        '#cmsadm was# DBSERVERALIASES\r\n# cmsadm begin\r\nDBSERVERALIASES cms_a,cms_b\r\n# cmsadm end\r\nDBSERVERNAME x\r\n',
    },
    {
      name: 'take a continued line as one',
      before: 'DBSERVERALIASES old,\\\n  older\nDBSERVERNAME x',
      after:
        '#cmsadm was# DBSERVERALIASES old,\\\n#cmsadm was#   older\n# cmsadm begin\nDBSERVERALIASES old,older,cms_a,cms_b\n# cmsadm end\nDBSERVERNAME x',
    },
    {
      name: 'join what stands on two lines',
      before: 'DBSERVERALIASES a\nX 1\nDBSERVERALIASES b,a',
      after:
        '#cmsadm was# DBSERVERALIASES a\n# cmsadm begin\nDBSERVERALIASES a,b,cms_a,cms_b\n# cmsadm end\nX 1\n#cmsadm was# DBSERVERALIASES b,a',
    },
    {
      name: 'leave out the server name itself',
      before: 'DBSERVERNAME cms_b\nDBSERVERALIASES cms_a\n',
      after: 'DBSERVERNAME cms_b\nDBSERVERALIASES cms_a\n',
    },
    {
      name: 'may be there with a number of listen threads',
      before: 'DBSERVERALIASES cms_a-4,cms_b\n',
      after: 'DBSERVERALIASES cms_a-4,cms_b\n',
    },
    {
      name: 'are not there in a comment or as a part of another',
      before: '#DBSERVERALIASES cms_a,cms_b\nDBSERVERALIASES cms_ab\n',
      after:
        '#DBSERVERALIASES cms_a,cms_b\n#cmsadm was# DBSERVERALIASES cms_ab\n# cmsadm begin\nDBSERVERALIASES cms_ab,cms_a,cms_b\n# cmsadm end\n',
    },
  ])('$name', ({ before, after }) => {
    const edited = edit(before, { aliases: ['cms_a', 'cms_b'] });
    expect(withoutDigests(edited)).toBe(after);
    expect(undo(edited)).toBe(before);
  });
});

test.each([
  { text: 'DBSERVERNAME cms_ol # the name', key: 'DBSERVERNAME', value: 'cms_ol' },
  { text: '  DBSERVERNAME\tcms_ol\t', key: 'DBSERVERNAME', value: 'cms_ol' },
  { text: 'VPCLASS cpu,\\\n\tnum=1\nX 1', key: 'VPCLASS', value: 'cpu,num=1' },
  { text: 'LTAPEDEV', key: 'LTAPEDEV', value: '' },
  { text: 'LTAPEDEV # none', key: 'LTAPEDEV', value: '' },
  { text: 'CONSOLE /a#b', key: 'CONSOLE', value: '/a#b' },
  { text: '#DBSERVERNAME x\nDBSERVERNAMES y', key: 'DBSERVERNAME', value: undefined },
])('read finds $value in $text', ({ text, key, value }) => {
  expect(read(text, key)).toBe(value);
});

testLaws('onconfig', [
  'DBSERVERALIASES a,\\',
  '  b # c',
  'DBSERVERALIASES',
  'DBSERVERALIASES cms_pair_1 # c',
  'DBSERVERNAME cms_pair_3',
  'ROOTPATH /x/y',
]);
