/** Which address of a link is in its turn, how often it was tried in a row without an answer, and whether it answers. */
export type CycleState = {
  readonly address: 'main' | 'survivable';
  readonly failed: number;
  readonly up: boolean;
  /** Whole rounds without an answer. */
  readonly rounds: number;
  /** The survivable address answers, and the next try looks whether the main one does again. */
  readonly looksBack: boolean;
};

/** What is known of a link beside its answers. */
export type CycleRules = {
  readonly isDual: boolean;
  /** Whether it goes back to the main address as soon as that answers; else only once the survivable one is lost. */
  readonly returnsToMain: boolean;
};

/** Tries of each address in a row. One address only is ever tried at a time. */
export const cycle = { main: 5, survivable: 2 } as const;

export const firstTry: CycleState = { address: 'main', failed: 0, up: false, rounds: 0, looksBack: false };

/** The address that the next try calls. */
export const addressToTry = (
  { address, looksBack }: CycleState,
  { returnsToMain }: CycleRules,
): CycleState['address'] => (looksBack && returnsToMain ? 'main' : address);

/**
 * What follows a try: an address that answers is kept; one that does not is tried again until its tries are used up,
 * then it is the other one's turn, and round again. A link with one address has no other. Where a link returns to its main
 * address, every second try calls that while the survivable one answers.
 */
export function afterTry(state: CycleState, answered: boolean, rules: CycleRules): CycleState {
  const tried = addressToTry(state, rules);
  if (answered) {
    const looksBack = rules.returnsToMain && tried === 'survivable';
    return { address: tried, failed: 0, up: true, rounds: 0, looksBack };
  }
  // The look back counts for nothing: the survivable address goes on.
  if (tried !== state.address) return { ...state, looksBack: false };
  const failed = state.failed + 1;
  if (failed < cycle[tried]) return { ...state, failed, up: false, looksBack: false };
  const address = rules.isDual && tried === 'main' ? 'survivable' : 'main';
  const rounds = address === 'main' ? state.rounds + 1 : state.rounds;
  return { address, failed: 0, up: false, rounds, looksBack: false };
}
