/**
 * The rules of the transaction, as data and pure functions: what a run does in which order, what a failure on the way
 * means, and how what was left open is settled. The coordinator and recover carry them out; the model in
 * test/change/model.ts plays them against every crash, cut and timer. docs/transaction.md tells the why.
 */

/** What a server is in one transaction. */
export const parts = ['coordinator', 'peer', 'alone'] as const;
export type Part = (typeof parts)[number];

/** The end of a transaction on one server; never changes. */
export type Decision = 'confirmed' | 'put-back';
/** What stands in the decision file. `asked`: this coordinator does what its peer decides. */
export type Ruling = Decision | 'asked';

export type Where = 'local' | 'peer';

/** One step of a run: the verb, the servers (side by side if there are two), and what it means if it fails. */
export type Move = {
  readonly does: 'stage' | 'arm' | 'commit' | 'arm to confirm' | 'prove' | 'ask' | 'confirm';
  readonly on: readonly Where[];
  /**
   * `put back`: every server of the run is put back. `as the peer decided`: back if the peer says that it put back,
   * else wait for its word. `stands`: the decision has fallen, it is finished later.
   */
  readonly failing: 'put back' | 'as the peer decided' | 'stands';
};

/** `link`: two servers, each for itself. `change`: two servers, the peer decides. `alone`: one server. */
export type RunKind = 'link' | 'change' | 'alone';

const back = (does: Move['does'], ...on: readonly Where[]): Move => ({ does, on, failing: 'put back' });

const untilProven: readonly Move[] = [
  back('stage', 'peer', 'local'),
  back('arm', 'peer', 'local'),
  back('commit', 'peer'),
  back('commit', 'local'),
  back('arm to confirm', 'peer', 'local'),
  back('prove', 'local', 'peer'),
];

export const runs: Readonly<Record<RunKind, readonly Move[]>> = {
  link: [...untilProven, back('confirm', 'peer'), back('confirm', 'local')],
  change: [
    ...untilProven,
    back('ask', 'local'),
    { does: 'confirm', on: ['peer'], failing: 'as the peer decided' },
    { does: 'confirm', on: ['local'], failing: 'stands' },
  ],
  alone: [back('stage', 'local'), back('arm', 'local'), back('commit', 'local'), back('confirm', 'local')],
};

export const partOf: Readonly<Record<RunKind, Readonly<Record<Where, Part>>>> = {
  link: { local: 'alone', peer: 'alone' },
  change: { local: 'coordinator', peer: 'peer' },
  alone: { local: 'alone', peer: 'alone' },
};

/** What stands in the decision file after `wanted` was tried: the first word holds, only `asked` gives way. */
export const ruled = (now: Ruling | undefined, wanted: Ruling): Ruling => {
  if (now === undefined) return wanted;
  return now === 'asked' ? wanted : now;
};

/** How a server that finds an unfinished transaction settles it. */
export function settlement(part: Part, ruling: Ruling | undefined): 'put back' | 'confirm' | 'ask the peer' {
  if (ruling === 'confirmed') return 'confirm';
  if (ruling === 'asked' && part === 'coordinator') return 'ask the peer';
  return 'put back';
}

/** What a peer says of a transaction; `unknown`: it never heard of it, or put it back and forgot. */
export type Answer = Decision | 'undecided' | 'unknown' | 'unreachable';

/** What a coordinator does with its peer's answer. An undecided peer is told to put back, and asked again. */
export function afterAnswer(answer: Answer): 'put back' | 'confirm' | 'have the peer put back' | 'wait' {
  if (answer === 'confirmed') return 'confirm';
  if (answer === 'put-back' || answer === 'unknown') return 'put back';
  return answer === 'undecided' ? 'have the peer put back' : 'wait';
}
