import { type Random, randomFor } from '../random.ts';

/** What breaks while a writer works on the primary. `reverse` is no fault: the roles change. */
export const syncFaults = [
  'agent killed',
  'agent stopped',
  'power',
  'cable',
  'loss',
  'delay',
  'disk',
  'clock',
  'reverse',
] as const;
export type SyncFault = (typeof syncFaults)[number];

const targets = ['primary', 'secondary', 'both'] as const;
type SyncTarget = (typeof targets)[number];

/** One thing that befalls the pair. */
export type Blow = {
  readonly fault: SyncFault;
  /** As the roles are when it strikes. */
  readonly target: SyncTarget;
  /** Milliseconds after the writer's start. */
  readonly at: number;
  /** Milliseconds until it is mended. */
  readonly lasts: number;
  /** Of a full disk: kilobytes that are left free. */
  readonly freeKb: number;
  /** Of an agent's clock: seconds by which it jumps, or that it jumps to right before midnight. */
  readonly shift: number | 'to midnight';
};

/** The plan of one round: the writer, and what befalls the pair meanwhile. */
export type SyncRound = {
  readonly seed: number;
  readonly round: number;
  /** How long the writer works, in milliseconds, and how many acts it does a second; now and then some at once. */
  readonly writes: number;
  readonly pace: number;
  /** One or two; the change of roles is always alone. */
  readonly blows: readonly Blow[];
};

const weights: Readonly<Record<SyncFault, number>> = {
  'agent killed': 5,
  'agent stopped': 2,
  power: 4,
  cable: 4,
  loss: 2,
  delay: 2,
  disk: 3,
  clock: 6,
  reverse: 6,
};

/** A pure function of seed and round. */
export function planSyncRound(seed: number, round: number): SyncRound {
  const random = randomFor(`sync:${seed}:${round}`);
  const writes = random.whole(4000, 8000);
  const pace = random.pick([10, 30, 60, 120]);
  const first = planBlow(writes, random);
  const second = random.share() < 0.35 ? planBlow(writes, random) : first;
  const alone = second === first || [first, second].some(({ fault }) => fault === 'reverse');
  return { seed, round, writes, pace, blows: alone ? [first] : [first, second] };
}

function planBlow(writes: number, random: Random): Blow {
  const fault = random.weighted(weights, syncFaults);
  return {
    fault,
    target: targetOf(fault, random),
    at: random.whole(300, writes - 1000),
    lasts: lastsFor(fault, random),
    freeKb: fault === 'disk' ? random.pick([0, 0, 8, 64, 256]) : 0,
    shift: fault === 'clock' ? shiftOf(random) : 0,
  };
}

function targetOf(fault: SyncFault, random: Random): SyncTarget {
  if (fault === 'disk') return 'secondary';
  // Only the primary may give its role away.
  if (fault === 'reverse') return 'primary';
  const mayBeBoth = fault === 'power' || fault === 'agent killed' || fault === 'clock';
  return mayBeBoth && random.share() < 0.25 ? 'both' : random.pick(['primary', 'secondary']);
}

const DAY = 86_400;

/** Up to two days, forward and backward. */
function shiftOf(random: Random): Blow['shift'] {
  const most = random.pick([2, 100, 7_200, 2 * DAY, 2 * DAY]);
  return random.share() < 0.3 ? 'to midnight' : random.pick([-1, 1]) * random.whole(1, most);
}

function lastsFor(fault: SyncFault, random: Random): number {
  if (fault === 'agent killed' || fault === 'reverse') return 0;
  return fault === 'power' ? random.whole(0, 3000) : random.whole(300, 7000);
}

/** The plan in one line, as it is printed and can be compared. */
export function tellSyncPlan({ round, writes, pace, blows }: SyncRound): string {
  const told = blows.map(({ fault, target, at, lasts, freeKb, shift }) => {
    const long = lasts === 0 ? '' : ` for ${lasts} ms`;
    const free = fault === 'disk' ? ` (${freeKb} kB left)` : '';
    const jump = fault === 'clock' ? ` (${typeof shift === 'number' ? `${shift} s` : shift})` : '';
    return `${fault}${free}${jump} of ${target} at ${at} ms${long}`;
  });
  return `round ${round}: ${pace} acts a second for ${writes} ms; ${told.join('; ')}`;
}
