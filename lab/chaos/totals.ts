import type { Outcome, RoundResult } from './round.ts';

/** What a run of rounds comes to. */
export type Totals = {
  readonly seed: number;
  readonly rounds: number;
  readonly commit: string;
  readonly faults: Readonly<Record<string, number>>;
  /** Planned faults whose operation had ended before their instant. */
  readonly missed: number;
  /** Rounds in which every fault was missed. */
  readonly calm: number;
  readonly outcomes: Readonly<Record<string, Readonly<Record<string, number>>>>;
  /** Rounds that left cms2 with a half-unpacked program. */
  readonly remnants: number;
  readonly violations: number;
  readonly logins: number;
  readonly seconds: number;
};

/** Counts faults by kind, outcomes by operation, and violated rounds. */
export function totalsOf(seed: number, commit: string, results: readonly RoundResult[]): Totals {
  const faults: Record<string, number> = {};
  const outcomes: Record<string, Partial<Record<Outcome, number>>> = {};
  for (const { operation, outcome, faults: befallen } of results) {
    for (const { kind, at } of befallen) if (at !== undefined) faults[kind] = (faults[kind] ?? 0) + 1;
    const ofOperation = outcomes[operation] ?? {};
    outcomes[operation] = { ...ofOperation, [outcome]: (ofOperation[outcome] ?? 0) + 1 };
  }
  const sum = (of: (one: RoundResult) => number): number => results.reduce((all, one) => all + of(one), 0);
  return {
    seed,
    rounds: results.length,
    commit,
    faults,
    missed: sum((one) => one.faults.filter(({ at }) => at === undefined).length),
    calm: results.filter((one) => one.faults.every(({ at }) => at === undefined)).length,
    outcomes,
    remnants: results.filter(({ remnants }) => remnants).length,
    violations: results.filter(({ violations }) => violations.length > 0).length,
    logins: sum(({ logins }) => logins),
    seconds: Math.round(sum(({ seconds }) => seconds)),
  };
}

/** A round in one line. */
export function tellRound(one: RoundResult): string {
  const faults = one.faults.map(({ kind, servers, at, lasted }) =>
    at === undefined ? `${kind} missed` : `${kind} of ${servers.join(' and ')} at ${at} ms for ${lasted} ms`,
  );
  const settled = one.settled === 'nothing open' ? '' : `, settled by ${one.settled} in ${one.settledSeconds} s`;
  return `  ${one.operation} on ${one.on}, ${one.from} -> ${one.to}; ${faults.join('; ')}; exit code ${one.exitCode ?? 'none'}${one.reason === '' ? '' : ` (${one.reason})`}${settled}: ${one.outcome}, ${one.logins} logins, ${one.seconds} s`;
}
