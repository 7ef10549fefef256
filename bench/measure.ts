/** What a benchmark says at its end: medians of both sides, and how many counted runs each had. */
export type Measure = {
  readonly measure: string;
  readonly unit: 'ms' | 's' | 'MB' | '%';
  readonly ours: number;
  readonly peer: number;
  /** ours / peer, or peer / ours where the aim is to be so many times faster; `measure` says which. */
  readonly ratio: number;
  readonly n: number;
};

/** The middle value; of an even number the mean of the two middle ones. Throws on an empty list. */
export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const upper = sorted[Math.floor(sorted.length / 2)];
  const lower = sorted[Math.ceil(sorted.length / 2) - 1];
  if (upper === undefined || lower === undefined) throw new Error('no values');
  return (lower + upper) / 2;
}

/** Milliseconds that a piece of work took, on a clock that never goes back. */
export async function timed(work: () => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work();
  return performance.now() - begun;
}

/** Runs two sides in turn (A B A B …), so that whatever slows this machine meets both; returns their times. */
export async function inTurn(
  pairs: number,
  ours: () => Promise<number>,
  peer: () => Promise<number>,
): Promise<{ ours: number[]; peer: number[] }> {
  const times = { ours: [] as number[], peer: [] as number[] };
  for (let pair = 0; pair < pairs; pair++) {
    times.ours.push(await ours());
    times.peer.push(await peer());
  }
  return times;
}

const rounded = (value: number): number => Number(value.toPrecision(4));

/** One JSON line per measure, and nothing after them. */
export function tell(measures: readonly Measure[]): void {
  for (const { measure, unit, ours, peer, ratio, n } of measures)
    console.log(JSON.stringify({ measure, unit, ours: rounded(ours), peer: rounded(peer), ratio: rounded(ratio), n }));
}
