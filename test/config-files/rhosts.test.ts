import { describe, expect, test } from 'vitest';
import { edit, hasPlus, undo } from '../../src/config-files/rhosts.ts';
import { testLaws, withoutDigests } from './generated-texts.ts';

describe('trusted users', () => {
  test.each([
    { name: 'are added', before: '', after: '# cmsadm begin\ncms2 root\n# cmsadm end\n' },
    { name: 'stay in any spacing', before: '  CMS2\troot \n', after: '  CMS2\troot \n' },
    {
      name: 'are not there for another user, with a host alone, or in a comment',
      before: 'cms2 informix\ncms2\n#cms2 root\r\n-cms2 root',
      after: 'cms2 informix\ncms2\n#cms2 root\r\n-cms2 root\r\n# cmsadm begin\r\ncms2 root\r\n# cmsadm end',
    },
  ])('$name', ({ before, after }) => {
    const edited = edit(before, { entries: [{ host: 'cms2', user: 'root' }] });
    expect(withoutDigests(edited)).toBe(after);
    expect(undo(edited)).toBe(before);
    expect(hasPlus(edited)).toBe(false);
  });
});

test.each([
  { text: '+ +\n', expected: true },
  { text: 'a root\n+\n', expected: true },
  { text: 'a +\n', expected: true },
  { text: ' +@trusted root\n', expected: true },
  { text: '#+ +\n', expected: false },
  { text: 'a+b root\n', expected: false },
])('hasPlus is $expected for $text', ({ text, expected }) => {
  expect(hasPlus(text)).toBe(expected);
});

testLaws('rhosts', ['cms2 root', 'CMS3\troot', '+ +', '-bad root', '#cms2 root', 'cms2']);
