import { readText } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { removeDurably, writeState } from '../host/writing.ts';
import { paths } from '../pair/state.ts';
import type { Agent } from './agent.ts';
import type { DataSet } from './entry.ts';

/** Something is not applied yet: what came from the other server, or only what was rendered here. */
const marker = (set: DataSet): string => `${paths.sync}/${set.name}.unapplied`;

type What = 'received' | 'rendered';

/** True for a data set whose changes are applied: by programs, or by rendering what the other server has to itself. */
export const isApplied = ({ apply, exported, rendered }: DataSet): boolean =>
  apply !== undefined || exported !== undefined || rendered !== undefined;

/** Remembers, over a crash, that a change came; to be called before it is in its place. */
export function noteUnapplied(
  { host: { root }, notes }: Pick<Agent, 'host' | 'notes'>,
  set: DataSet,
  what: What,
): void {
  if (!isApplied(set)) return;
  notes.set(set.name, (notes.get(set.name) ?? 0) + 1);
  const before = readText(root, marker(set));
  if (before === undefined || (what === 'received' && before !== what)) writeState(root, marker(set), what);
}

export const isUnapplied = ({ root }: Host, set: DataSet): boolean => readText(root, marker(set)) !== undefined;

/**
 * True where something that the other server sent is not applied. Not for a mark without a word, of an earlier version:
 * a primary that has one has long exported its own database over what it took.
 */
export const isOwed = ({ root }: Host, set: DataSet): boolean =>
  isApplied(set) && readText(root, marker(set)) === ('received' satisfies What);

export const clearUnapplied = ({ root }: Host, set: DataSet): void => removeDurably(root, marker(set));

/** For a person who decides that nothing is to be applied. */
export const forgetUnapplied = (set: DataSet): string => `rm ${marker(set)}`;
