import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import { readAlarms } from '../pair/alarms.ts';
import { shownPath } from './entry.ts';
import { isCarried } from './place.ts';
import { raiseOnce } from './standing-alarms.ts';
import type { Tree } from './tree.ts';

/** What the other server answered, in its schema. @throws CmsadmError answer-refused, which ends the session */
export function answered<Schema extends v.GenericSchema>(schema: Schema, answer: unknown): v.InferOutput<Schema> {
  const parsed = v.safeParse(schema, answer);
  if (parsed.success) return parsed.output;
  throw answerRefused(
    parsed.issues.map((issue) => `${v.getDotPath(issue) ?? 'answer'}: ${issue.message.slice(0, 200)}`),
  );
}

export const answerRefused = (details: readonly string[]): CmsadmError =>
  new CmsadmError('answer-refused', 'An answer of the other server is not in order.', {
    details,
    remedy: 'Install the same version of cmsadm on both servers.',
  });

/** Names that the other server told, each with something about it. */
type Told<T> = readonly (readonly [path: string, about: T])[];

/**
 * Of the names that the other server told of a data set those that it may tell of: nothing here is looked at, and so sent,
 * because the other server named it. An alarm tells of the first that is left out.
 */
export function carriedOf<T>(tree: Tree, told: Told<T>): Told<T> {
  const others = told.filter(([path]) => !isCarried(tree, path));
  const [first] = others;
  if (first === undefined) return told;
  const { host, set } = tree;
  const head = `The other server told of names that the data set ${set.name} does not carry here`;
  if (!readAlarms(host.root).some(({ text }) => text.startsWith(head)))
    raiseOnce(
      host,
      `${head}, such as "${shownPath(first[0]).slice(0, 200)}": nothing is done with them. Are the profiles of both servers the same?`,
    );
  const left = new Set(others);
  return told.filter((one) => !left.has(one));
}
