import { expect, test } from 'vitest';
import { begun, usualOf } from '../../lab/chaos/usual.ts';

const lines = [
  'Installing the program on cms2.lab.example ...',
  'Installing the program on cms2.lab.example: done',
  'Changing cms2.lab.example ...',
  'Changing cms2.lab.example: done',
  'Changing cms1.lab.example ...',
  'Changing cms1.lab.example: done',
  'Changing nothing more',
].map((text, i) => ({ at: i * 100, text }));

test('what is usual of an operation: its time, and how often it begins each step', () => {
  const { milliseconds, said } = usualOf(lines, 700);
  expect(milliseconds).toBe(700);
  expect(said).toMatchObject({ 'Installing the program': 1, Changing: 2, Verifying: 0 });
});

test('a step counts from when it is begun, not from when it is done', () => {
  expect(begun(lines, 'Changing').map(({ at }) => at)).toEqual([200, 400]);
});
