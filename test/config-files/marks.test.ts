import { describe, expect, test } from 'vitest';
import { insertLines, joinLines, splitLines } from '../../src/config-files/lines.ts';
import { markedBlock, markedLine, removeMarks, replaceLine } from '../../src/config-files/marks.ts';

const append = (text: string, added: readonly string[]): string => {
  const lines = splitLines(text);
  return joinLines(insertLines(lines, lines.length, added));
};

describe('inserted lines take the line end of their surroundings', () => {
  test.each([
    { name: 'an empty text', before: '', after: 'new\n' },
    { name: 'a text with final newline', before: 'a\n', after: 'a\nnew\n' },
    { name: 'a text without final newline', before: 'a', after: 'a\nnew' },
    { name: 'a CRLF text', before: 'a\r\n', after: 'a\r\nnew\r\n' },
    { name: 'a CRLF text without final newline', before: 'a\r\nb', after: 'a\r\nb\r\nnew' },
    { name: 'a mixed text', before: 'a\r\nb\n', after: 'a\r\nb\nnew\n' },
    { name: 'a lone carriage return at the end', before: 'a\r', after: 'a\r\r\nnew' },
  ])('$name', ({ before, after }) => {
    expect(append(before, ['new'])).toBe(after);
  });
});

describe('marks are taken off again', () => {
  const block = markedBlock(['one', 'two']);

  test.each(['', 'a', 'a\n', 'a\r\nb', 'a\r', '\n', '\r\n'])('a block and a marked line behind %j', (text) => {
    expect(removeMarks(append(text, block))).toBe(text);
    expect(removeMarks(append(text, [markedLine('one')]))).toBe(text);
  });

  test.each(['a', 'a\n', '\xff\r\n', 'a\r'])('a line that gave way in %j', (text) => {
    const replaced = joinLines(replaceLine(splitLines(text), 0, [markedLine('new')]));
    expect(replaced).toMatch(/^#cmsadm was# /);
    expect(removeMarks(replaced)).toBe(text);
  });

  test('lines that the administrator wrote around and inside a block stay', () => {
    const [begin, one, two, end] = block;
    expect(removeMarks(['x', begin, one, 'his', two, end, 'y', ''].join('\n'))).toBe('x\nhis\ny\n');
  });

  test('a line of ours that he changed stays, without our mark', () => {
    const changed = markedLine('10.0.0.1 a b').replace('a b', 'a b c');
    expect(removeMarks(`${changed}\n`)).toBe('10.0.0.1 a b c\n');
  });

  test('a block that lost its end takes only our own lines with it', () => {
    const [begin, one, two] = block;
    expect(removeMarks([begin, one, two, 'his', 'one', ''].join('\n'))).toBe('his\none\n');
  });

  test('a second block begins where the first lost its end', () => {
    const [begin, one] = block;
    expect(removeMarks([begin, one, 'his', 'one', ...block, 'his too', ''].join('\n'))).toBe('his\none\nhis too\n');
  });

  test('an end mark alone goes, whatever else stands there stays', () => {
    expect(removeMarks('a\n# cmsadm end\nb\n')).toBe('a\nb\n');
  });

  test('the word in a comment of the administrator is no mark', () => {
    const text = '# cmsadm begins at 8\nx # cmsadm\n#cmsadm was here\n';
    expect(removeMarks(text)).toBe(text);
  });
});
