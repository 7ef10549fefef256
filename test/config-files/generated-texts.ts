import fc from 'fast-check';
import { expect, test } from 'vitest';
import { checkLaws } from '../../scripts/corpus-laws.ts';
import { kinds } from '../../src/config-files/kinds.ts';

/** Lines that no editor understands, among them marks that somebody tore apart. */
const garbage = [
  '',
  ' \t ',
  '~',
  '[section]',
  '\xef\xbb\xbf',
  '\xc3\xa0 la carte \xff\xfe',
  '\0\v\f',
  'ends in a carriage return\r',
  'an open "quote',
  'a { brace',
  '} another',
  'continued \\',
  '# a comment',
  '# cmsadm end',
  '# cmsadm begin 0a1b2c',
  '#cmsadm was# #cmsadm was# twice',
  'changed by hand # cmsadm 0a1b2c',
];

/** Texts of lines of this kind and of garbage, with LF and CRLF mixed and often without a final newline. */
const generatedText = (lines: readonly string[]): fc.Arbitrary<string> => {
  const line = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom(...lines) },
    { weight: 2, arbitrary: fc.constantFrom(...garbage) },
    {
      weight: 1,
      arbitrary: fc.string({ unit: fc.integer({ min: 0, max: 255 }).map((code) => String.fromCharCode(code)) }),
    },
  );
  const ended = fc.tuple(line, fc.constantFrom('\n', '\n', '\r\n')).map(([text, end]) => text + end);
  return fc
    .tuple(fc.array(ended, { maxLength: 8 }), fc.oneof(fc.constant(''), line))
    .map(([all, last]) => all.join('') + last);
};

/** A property test of the laws for one kind; `frame` puts the lines where the kind looks for them. */
export const testLaws = (kindName: string, lines: readonly string[], frame = (text: string): string => text): void => {
  test(`the laws of lossless editing hold for any ${kindName} text`, () => {
    const kind = kinds.get(kindName);
    if (!kind) throw new Error(`no kind ${kindName}`);
    const outcomes = new Set<string>();
    fc.assert(
      fc.property(generatedText(lines), (text) => {
        const verdict = checkLaws(kind, frame(text));
        outcomes.add(verdict.outcome);
        expect(verdict.failures).toEqual([]);
      }),
      { numRuns: 300 },
    );
    expect(outcomes).toContain('edited');
  });
};

/** A text as a person reads it: without the digests of our marks. */
export const withoutDigests = (text: string): string => text.replace(/(# cmsadm(?: begin)?)(?: [0-9a-f]{6})+/g, '$1');

/** The code and details of the CmsadmError that `action` throws. */
export const refusalOf = (action: () => unknown): { code: unknown; details: unknown } => {
  try {
    action();
  } catch (error) {
    if (error instanceof Error && 'code' in error && 'details' in error)
      return { code: error.code, details: error.details };
    throw error;
  }
  return { code: 'not refused', details: [] };
};
