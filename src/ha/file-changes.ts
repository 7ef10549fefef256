import type { FileChange } from '../change/change.ts';
import { CmsadmError } from '../errors.ts';
import type { Facts, ManagedFact } from '../pair/facts.ts';
import type { FileRow } from '../pair/managed-files.ts';

/** A file that can't be brought to what is wanted, and why. */
export type FileProblem = {
  readonly path: string;
  readonly text: string;
  readonly details: readonly string[];
  readonly remedy: string;
};

/** The change of one file, or undefined where it stays as it is. */
export function fileChange(file: ManagedFact, text: string | undefined): FileChange | undefined {
  const { row, fact } = file;
  const before = fact.state === 'file' ? fact.sha256 : null;
  const base = { ...changeBase(file), before };
  if (text === undefined) return before === null ? undefined : { ...base, after: null };
  if (fact.state === 'file')
    return fact.content === text
      ? undefined
      : { ...base, after: { content: text, mode: fact.mode, owner: fact.owner, group: fact.group } };
  if (text === '' || !row.create) return undefined;
  return { ...base, after: { content: text, mode: row.mode, owner: 'root', group: 'root' } };
}

/** What every change of this file tells: its place, and what the plan saw of it. */
export const changeBase = ({ row, fact, folder }: ManagedFact): Omit<FileChange, 'before' | 'after'> => ({
  path: row.path,
  kind: row.kind,
  secret: row.secret,
  generated: false,
  ...(row.judge === undefined ? {} : { judge: row.judge }),
  ...(fact.state === 'file' ? { was: { mode: fact.mode, owner: fact.owner, group: fact.group } } : {}),
  ...(folder === undefined ? {} : { folder }),
});

/** The change of a file with all that may be wrong with it collected, none thrown. */
export function attemptFile(
  file: ManagedFact,
  text: () => string | undefined,
  problems: FileProblem[],
): FileChange | undefined {
  const { row, fact } = file;
  if (fact.state === 'refused') {
    problems.push({
      path: row.path,
      text: `${row.path} ${fact.why}.`,
      details: [],
      remedy: 'Make it a regular file that root may read and write.',
    });
    return undefined;
  }
  try {
    const change = fileChange(file, text());
    if (change) problems.push(...refusals(file, row));
    return change;
  } catch (error) {
    if (!(error instanceof CmsadmError)) throw error;
    problems.push({
      path: row.path,
      text: error.message,
      details: error.details,
      remedy: error.remedy ?? `Correct ${row.path}.`,
    });
    return undefined;
  }
}

/**
 * What can't be read can't be put right either, and must not be passed over.
 * @param files those that the change may touch
 * @throws CmsadmError facts-incomplete, with everything that is not known
 */
export function refuseUnknown({ servicesReachable }: Facts, files: readonly ManagedFact[], server: string): void {
  const unknown = [
    ...files.flatMap(({ row, fact }) => (fact.state === 'refused' ? [`${row.path} ${fact.why}`] : [])),
    ...(servicesReachable === undefined ? [] : [servicesReachable]),
  ];
  if (unknown.length > 0)
    throw new CmsadmError('facts-incomplete', `Not everything that the change needs is known of ${server}.`, {
      server,
      details: unknown,
      remedy: 'Make each file a regular one that root may read and write, then run the command again.',
    });
}

function refusals(file: ManagedFact, row: FileRow): FileProblem[] {
  const { fact, notWritable } = file;
  const found: FileProblem[] = [];
  if (notWritable !== undefined)
    found.push({
      path: row.path,
      text: `${row.path}: ${notWritable}.`,
      details: [],
      remedy: 'Mount it read-write, take the immutable flag off, or make room.',
    });
  if (fact.state === 'file' && !row.owners.includes(fact.owner))
    found.push({
      path: row.path,
      text: `${row.path} belongs to ${fact.owner}; allowed: ${row.owners.join(', ')}.`,
      details: [],
      remedy: `chown ${row.owners[0]} ${row.path}`,
    });
  return found;
}
