import { describe, expect, test } from 'vitest';
import { edit, undo } from '../../src/config-files/bash-profile.ts';
import { testLaws, withoutDigests } from './generated-texts.ts';

const lines = ['PATH=$PATH:/opt/cmsadm/bin', 'export PATH'];
const block = '# cmsadm begin\nPATH=$PATH:/opt/cmsadm/bin\nexport PATH\n# cmsadm end';

describe('our block', () => {
  test.each([
    { name: 'is the whole of an empty file', before: '', after: `${block}\n` },
    { name: 'stands at the end', before: '. ~/.bashrc\n\n', after: `. ~/.bashrc\n\n${block}\n` },
    { name: 'has no final newline where there was none', before: 'fi', after: `fi\n${block}` },
  ])('$name', ({ before, after }) => {
    const edited = edit(before, { lines });
    expect(withoutDigests(edited)).toBe(after);
    expect(undo(edited)).toBe(before);
  });

  test('goes when nothing is wanted any more', () => {
    expect(edit(edit('a\n', { lines }), { lines: [] })).toBe('a\n');
  });

  test('goes, and lines appended to it later stay', () => {
    expect(undo(`${edit('a\n', { lines })}alias ll='ls -l'\n`)).toBe("a\nalias ll='ls -l'\n");
    expect(undo(`${edit('a', { lines })}\nb\n`)).toBe('a\nb\n');
  });
});

testLaws('bash_profile', ['export A=1', 'if [ -f ~/.bashrc ]; then', '\t. ~/.bashrc', 'fi', 'cat <<EOF']);
