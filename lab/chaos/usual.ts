import { type Mark, marks } from './schedule.ts';

/** How an operation goes without faults: how long it takes, and how often it says that it begins each step. */
export type Usual = { readonly milliseconds: number; readonly said: Readonly<Record<Mark, number>> };

type Said = readonly { readonly at: number; readonly text: string }[];

/** The times at which a step was begun; each is said twice, when it begins and when it is done. */
export const begun = (said: Said, mark: Mark): Said =>
  said.filter(({ text }) => text.startsWith(mark) && text.endsWith('...'));

/** What is usual, as one undisturbed run shows it. */
export function usualOf(lines: Said, milliseconds: number): Usual {
  const said = { ...nothingSaid };
  for (const mark of marks) said[mark] = begun(lines, mark).length;
  return { milliseconds, said };
}

export const nothingSaid: Readonly<Record<Mark, number>> = {
  'Installing the program': 0,
  'Preparing the new files': 0,
  'Arming the way back': 0,
  Changing: 0,
  'Proving a fresh login': 0,
  Confirming: 0,
  Verifying: 0,
};
