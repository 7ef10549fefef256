import type { Kind } from '../src/config-files/kinds.ts';
import { CmsadmError } from '../src/errors.ts';

export type Verdict = {
  readonly outcome: 'edited' | 'unchanged' | 'refused';
  /** The code of the refusal. */
  readonly code?: string;
  /** `law: what`, one for each law that does not hold. */
  readonly failures: readonly string[];
};

const wasPrefix = '#cmsadm was# ';

/** A short sight of the first difference, safe to print. */
const firstDifference = (got: string, expected: string): string => {
  let at = 0;
  while (at < got.length && got[at] === expected[at]) at += 1;
  const sight = (text: string) => JSON.stringify(text.slice(Math.max(0, at - 10), at + 30));
  return `at byte ${at} ${sight(got)} instead of ${sight(expected)}`;
};

/**
 * The first line of `before` that is not in `after`, in order, bare or behind our comment sign; without knowledge of the
 * editors, so that it can contradict them. Only the last line may have got an ending that it had not.
 */
const lostLine = (before: string, after: string): string | undefined => {
  const left = after.split(/(?<=\n)/);
  let at = 0;
  const wanted = before.split(/(?<=\n)/);
  for (const [index, line] of wanted.entries()) {
    const isLast = index === wanted.length - 1 && !line.endsWith('\n');
    const isLine = (candidate: string): boolean =>
      candidate === line || (isLast && (candidate === `${line}\n` || candidate === `${line}\r\n`));
    const isIt = (candidate: string): boolean =>
      isLine(candidate) || (candidate.startsWith(wasPrefix) && isLine(candidate.slice(wasPrefix.length)));
    while (at < left.length && !isIt(left[at] ?? '')) at += 1;
    if (at === left.length && line !== '') return line;
    at += 1;
  }
  return undefined;
};

/** What an edit returns, or the code with which it refuses. Any other error is thrown on. */
const attempt = (edit: (text: string) => string, text: string): { text: string } | { code: string } => {
  try {
    return { text: edit(text) };
  } catch (error) {
    if (error instanceof CmsadmError) return { code: error.code };
    throw error;
  }
};

/** Holds the laws of the editors against one text. */
export const checkLaws = (kind: Kind, text: string): Verdict => {
  const failures: string[] = [];
  const expect = (law: string, got: string, expected: string) => {
    if (got !== expected) failures.push(`${law}: ${firstDifference(got, expected)}`);
  };

  expect('print(parse(x)) is x', kind.reprint(text), text);
  const clean = kind.undo(text);
  expect('undo twice is undo once', kind.undo(clean), clean);

  const edited = attempt(kind.edit, text);
  if ('code' in edited) return { outcome: 'refused', code: edited.code, failures };

  const lost = lostLine(clean, edited.text);
  if (lost !== undefined) failures.push(`every other byte stays: lost ${JSON.stringify(lost.slice(0, 60))}`);
  expect('print(parse(edited)) is edited', kind.reprint(edited.text), edited.text);
  expect('undo gives back x', kind.undo(edited.text), clean);
  const again = attempt(kind.edit, edited.text);
  expect('editing twice is editing once', 'text' in again ? again.text : `refused: ${again.code}`, edited.text);

  const other = attempt(kind.editOtherwise, text);
  const replaced = attempt(kind.editOtherwise, edited.text);
  expect('other values replace ours', JSON.stringify(replaced), JSON.stringify(other));
  return { outcome: edited.text === text ? 'unchanged' : 'edited', failures };
};
