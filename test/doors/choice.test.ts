import { describe, expect, it } from 'vitest';
import { numberedChoice, parseChoice, quoted } from '../../src/choice.ts';
import type { Question } from '../../src/report.ts';

describe('parseChoice', () => {
  it.each([
    ['1', 1],
    ['12', 12],
    ['  3 ', 3],
    ['\t7\r', 7],
    ['q', 'q'],
    [' q ', 'q'],
  ])('takes %j as %j', (typed, choice) => {
    expect(parseChoice(typed, 12)).toBe(choice);
  });

  it.each([
    ...['', ' ', '0', '13', '00', '01', '012', '-1', '+1', '1.0', '1e1', '0x1', '2abc', 'abc2', '12 3', '1,2', '1)'],
    ...['Q', 'qq', 'quit', '１', '٣', '99999999999999999999', '1\u001b[A', '$(reboot)'],
  ])('refuses %j and says what may be typed', (typed) => {
    expect(() => parseChoice(typed, 12)).toThrowError(
      expect.objectContaining({
        code: 'no-such-choice',
        message: expect.stringMatching(/: type a number from 1 to 12, or q to quit\.$/),
      }),
    );
  });

  it('names what was typed', () => {
    expect(() => parseChoice('2abc', 6)).toThrowError('"2abc" is no choice: type a number from 1 to 6, or q to quit.');
    expect(() => parseChoice('', 6)).toThrowError('Nothing was typed: type a number from 1 to 6, or q to quit.');
    expect(() => parseChoice('2', 1)).toThrowError('"2" is no choice: type 1, or q to quit.');
  });
});

describe('quoted', () => {
  it('shows control characters and shortens what is long', () => {
    expect(quoted('\u001b[31m')).toBe('"\\x1b[31m"');
    expect(quoted('x'.repeat(1000))).toBe(`"${'x'.repeat(40)}..."`);
  });
});

describe('numberedChoice', () => {
  const answering = (typed: string, asked: Question[] = []) => ({
    text: async (question: Question) => {
      asked.push(question);
      return question.check(typed);
    },
  });

  it.each([
    [12, 'Enter choice (1-12) or q to quit:'],
    [1, 'Enter choice (1) or q to quit:'],
  ])('of %i entries prompts with their range', async (count, prompt) => {
    const asked: Question[] = [];
    await numberedChoice(answering('1', asked), 'Enter choice', count);
    expect(asked.map(({ text, preset }) => [text, preset])).toEqual([[prompt, undefined]]);
  });

  it('gives a number, or q', async () => {
    expect(await numberedChoice(answering('12'), 'Enter choice', 12)).toBe(12);
    expect(await numberedChoice(answering('q'), 'Enter choice', 12)).toBe('q');
  });
});
