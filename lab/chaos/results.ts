import { appendFileSync, existsSync, readFileSync } from 'node:fs';
import * as v from 'valibot';
import { type PairState, pairStates } from './references.ts';
import type { RoundResult } from './round.ts';
import type { SyncResult } from './sync/round.ts';

/** A line of the results file: one round, of which seed, on which code. */
type Entry = (RoundResult | SyncResult) & { readonly seed: number; readonly commit: string };

const leftSchema = v.object({ seed: v.number(), round: v.number(), left: v.picklist(pairStates), outcome: v.string() });

/** Appends a round to the results file: one JSON object a line. */
export function appendResult(file: string, entry: Entry): void {
  appendFileSync(file, `${JSON.stringify(entry)}\n`);
}

/**
 * The state in which a round finds the pair, as the results file tells of the round before; `single` where it does not,
 * or where that round was violated.
 */
export function stateBefore(file: string, seed: number, round: number): PairState {
  if (!existsSync(file)) return 'single';
  const lines = readFileSync(file, 'utf8').split('\n').reverse();
  for (const line of lines) {
    const entry = v.safeParse(v.pipe(v.string(), v.parseJson(), leftSchema), line);
    if (!entry.success || entry.output.seed !== seed || entry.output.round !== round - 1) continue;
    return entry.output.outcome === 'violated' ? 'single' : entry.output.left;
  }
  return 'single';
}
