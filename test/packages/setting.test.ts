import fc from 'fast-check';
import * as v from 'valibot';
import { describe, expect, it } from 'vitest';
import {
  parseSetting,
  questionOf,
  type Setting,
  settingSchema,
  settingsFrom,
  settingText,
} from '../../src/packages/setting.ts';

const own = { name: 'one', question: 'One' };
const setting = (more: Record<string, unknown>): Setting => v.parse(settingSchema, { ...own, ...more });
const integer = setting({ kind: 'integer', min: -1, max: 20, default: 5 });
const yesNo = setting({ kind: 'yes-no', default: false });
const choice = setting({ kind: 'choice', choices: ['mean', 'most recent'], default: 'mean' });
const text = setting({ kind: 'text', pattern: '[A-Z][a-z ]{0,9}', example: 'Head office', default: 'Default' });

describe('a setting', () => {
  it.each([
    [integer, ' 20 ', 20],
    [integer, '-1', -1],
    [yesNo, 'y', true],
    [yesNo, 'no', false],
    [choice, 'most recent', 'most recent'],
    [text, 'Head', 'Head'],
  ])('%# takes %s', (one, typed, value) => {
    expect(parseSetting(one, typed)).toBe(value);
    expect(parseSetting(one, settingText(value))).toBe(value);
  });

  it.each([
    [integer, ['', '21', '-2', '1.5', '0x1', '1e1', ' ', '5 5', '٣', '99999999999999999999']],
    [yesNo, ['', 'Y', 'maybe', '1', 'yes please']],
    [choice, ['', 'Mean', 'mea', '1']],
    [text, ['', 'head', 'Headquarters', 'He"ad', 'He$ad', 'He`d', 'He\\d', 'He\nd', 'He;d']],
  ])('%# takes no other answer, and says which it takes', (one, answers) => {
    for (const typed of answers)
      expect(() => parseSetting(one, typed), JSON.stringify(typed)).toThrow(
        expect.objectContaining({ code: 'setting-refused', remedy: expect.stringMatching(/^Type /) }),
      );
  });

  it('shows its range in its question', () => {
    expect([integer, yesNo, choice, text].map(questionOf)).toEqual([
      'One (-1-20)',
      'One (y/n)',
      'One (mean, most recent)',
      'One',
    ]);
  });

  it('keeps earlier values that still fit', () => {
    const named = (one: Setting, name: string): Setting => ({ ...one, name });
    const all = [named(integer, 'a'), named(yesNo, 'b'), named(choice, 'c')];
    expect(settingsFrom(all, { a: 7, b: 'yes', c: 'median', d: 1 })).toEqual({ a: 7, b: false, c: 'mean' });
    expect(settingsFrom(all, Object.create({ a: 7 }))).toEqual({ a: 5, b: false, c: 'mean' });
  });

  it.each([
    ['a default out of its range', { kind: 'integer', min: 1, max: 2, default: 3 }],
    ['a default that is no choice', { kind: 'choice', choices: ['a', 'b'], default: 'c' }],
    ['a default that does not match', { kind: 'text', pattern: '[a-z]', example: 'a', default: 'A' }],
    ['a default that a shell would obey', { kind: 'text', pattern: '[^a]+', example: 'x', default: '$(id)' }],
    ['an unknown kind', { kind: 'list', default: 1 }],
    ['a key that nobody knows', { kind: 'yes-no', default: true, hidden: 1 }],
    ['a question with a control character', { kind: 'yes-no', default: true, question: 'x\u001b[2J' }],
    ...['(a+)+', 'a|b', '(?=a)', '[a', 'a{2', '\\p{L}', '\\1', 'a**', 'a+b+c+d+', '.', '', 'a{1000}', '[z-a]'].map(
      (pattern): [string, Record<string, unknown>] => [
        `the pattern ${pattern}`,
        { kind: 'text', pattern, example: 'a', default: 'a' },
      ],
    ),
  ])('is refused with %s', (_, more) => {
    expect(v.is(settingSchema, { ...own, ...more })).toBe(false);
  });

  it('answers in no time, whatever pattern is accepted and whatever is typed', () => {
    const piece = fc.constantFrom('[ab]', '[^b]', 'a', '\\d', '[a-z ]');
    const often = fc.constantFrom('', '+', '*', '?', '{0,99}');
    const pattern = fc.array(fc.tuple(piece, often), { minLength: 1, maxLength: 12 });
    fc.assert(
      fc.property(pattern, fc.constantFrom('a', 'ab', 'a '), (parts, unit) => {
        const one = { ...own, kind: 'text', pattern: parts.flat().join(''), example: 'a', default: unit };
        if (!v.is(settingSchema, one)) return;
        const began = performance.now();
        try {
          parseSetting(v.parse(settingSchema, one), `${unit.repeat(60).slice(0, 99)}!`);
        } catch {
          // Refused, which is what takes longest.
        }
        expect(performance.now() - began).toBeLessThan(250);
      }),
      { numRuns: 500 },
    );
  });
});
