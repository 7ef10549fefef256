/** Which address of a link is tried, how often it was tried in a row without an answer, and whether it answers. */
export type CycleState = {
  readonly address: 'main' | 'survivable';
  readonly failed: number;
  readonly up: boolean;
  /** Whole rounds without an answer. */
  readonly rounds: number;
};

/** Tries of each address, and the seconds between two tries. One address only is ever tried at a time. */
export const cycle = { main: 5, survivable: 2, seconds: 30 } as const;

export const firstTry: CycleState = { address: 'main', failed: 0, up: false, rounds: 0 };

/**
 * What follows a try: an address that answers is kept; one that does not is tried again until its tries are used up,
 * then it is the other one's turn, and round again. A link with one address has no other.
 */
export function afterTry(state: CycleState, answered: boolean, isDual: boolean): CycleState {
  if (answered) return { address: state.address, failed: 0, up: true, rounds: 0 };
  const failed = state.failed + 1;
  if (failed < cycle[state.address]) return { ...state, failed, up: false };
  const address = isDual && state.address === 'main' ? 'survivable' : 'main';
  return { address, failed: 0, up: false, rounds: address === 'main' ? state.rounds + 1 : state.rounds };
}
