import { expect, test } from 'vitest';
import { type Parameter, type Slot, settleAnswers } from '../../src/commands/context.ts';
import { CmsadmError, exitCodes } from '../../src/errors.ts';
import type { Asker, Question } from '../../src/report.ts';

const parameter = (name: string): Parameter => ({ name, question: `The ${name}`, help: `help of ${name}` });
const upper = (text: string): string => {
  if (text.includes('!')) throw new CmsadmError('answer-refused', `${text} is wrong.`, { remedy: 'Say it softly.' });
  return text.toUpperCase();
};
const slots: readonly Slot[] = [
  { parameter: parameter('one'), check: upper },
  { parameter: parameter('two'), preset: 'two', check: upper },
  { parameter: parameter('three'), check: async (text) => upper(text) },
];

/** Somebody at a terminal who answers in turn, and what he was asked. */
function terminal(answers: readonly string[]): { ask: Asker; asked: Question[] } {
  const asked: Question[] = [];
  const ask: Asker = {
    text: async (question) => {
      asked.push(question);
      return question.check(answers[asked.length - 1] ?? '');
    },
    secret: () => Promise.reject(new Error('no secret here')),
    choose: () => Promise.reject(new Error('no choice here')),
  };
  return { ask, asked };
}
const logTo = (lines: string[]) => ({ choice: (text: string) => void lines.push(text), outcome: () => {} });
const noLog = logTo([]);

test('what is given is taken and nothing is asked', async () => {
  const { ask, asked } = terminal([]);
  const settled = await settleAnswers(slots, { one: 'a', two: 'b', three: 'c' }, { ask, log: noLog });
  expect(settled).toEqual({ one: 'A', two: 'B', three: 'C' });
  expect(asked).toEqual([]);
});

test('what is missing is asked in order, with the preset shown', async () => {
  const { ask, asked } = terminal(['x', 'y']);
  expect(await settleAnswers(slots, { two: 'given' }, { ask, log: noLog })).toEqual({
    one: 'X',
    two: 'GIVEN',
    three: 'Y',
  });
  expect(asked.map(({ text, preset }) => [text, preset])).toEqual([
    ['The one', undefined],
    ['The three', undefined],
  ]);
  const again = terminal(['x', 'y', 'z']);
  await settleAnswers(slots, {}, { ask: again.ask, log: noLog });
  expect(again.asked.map(({ preset }) => preset)).toEqual([undefined, 'two', undefined]);
});

test('without a terminal the preset is taken, and checked like any other answer', async () => {
  expect(await settleAnswers(slots, { one: 'a', three: 'c' }, { ask: undefined, log: noLog })).toMatchObject({
    two: 'TWO',
  });
  const bad = [{ parameter: parameter('one'), preset: 'loud!', check: upper }];
  await expect(settleAnswers(bad, {}, { ask: undefined, log: noLog })).rejects.toMatchObject({
    code: 'answers-refused',
  });
});

test('an empty answer that is given is an answer, not a missing one', async () => {
  expect(await settleAnswers(slots, { one: '', three: '' }, { ask: undefined, log: noLog })).toMatchObject({ one: '' });
});

test('all that is missing and all that is wrong is told in one error', async () => {
  const more = [...slots, { parameter: parameter('four'), check: upper }];
  const error = await settleAnswers(more, { three: 'no!' }, { ask: undefined, log: noLog }, [
    '--later: help of later',
  ]).catch((e: unknown) => e);
  expect(error).toMatchObject({
    code: 'usage',
    exitCode: exitCodes.usage,
    remedy: expect.stringContaining('--answers'),
  });
  expect(error instanceof CmsadmError && error.details).toEqual([
    '--later: help of later',
    '--one: help of one',
    '--four: help of four',
    '--three: no! is wrong. Say it softly.',
  ]);
});

test('two wrong answers are told together, and refused', async () => {
  const error = await settleAnswers(slots, { one: 'a!', two: 'b!', three: 'c' }, { ask: undefined, log: noLog }).catch(
    (e: unknown) => e,
  );
  expect(error).toMatchObject({
    code: 'answers-refused',
    exitCode: exitCodes.refused,
    message: '2 answers are not accepted.',
  });
  expect(error instanceof CmsadmError && error.details).toHaveLength(2);
});

test('choices are logged as they were settled', async () => {
  const lines: string[] = [];
  await settleAnswers(slots, { one: 'a', three: 'c' }, { ask: undefined, log: logTo(lines) });
  expect(lines).toEqual(['one=A', 'two=TWO', 'three=C']);
});

test.each([
  new CmsadmError('input-ended', 'The input ended.'),
  new CmsadmError('interrupted', 'Interrupted.', { exitCode: exitCodes.interrupted }),
  new TypeError('a bug'),
])('%s is no wrong answer: it ends the questions', async (thrown) => {
  const { asked } = terminal([]);
  const ask: Asker = {
    text: async (question) => {
      asked.push(question);
      throw thrown;
    },
    secret: () => Promise.reject(new Error('unused')),
    choose: () => Promise.reject(new Error('unused')),
  };
  await expect(settleAnswers(slots, {}, { ask, log: noLog })).rejects.toBe(thrown);
  expect(asked).toHaveLength(1);
});
