import { type Random, randomFor } from './random.ts';

/** What a pair is asked to do while something breaks. */
export const operations = ['set up', 'reverse', 'restore', 'disable'] as const;
export type Operation = (typeof operations)[number];

/** What breaks. `edit` is no fault of a machine: somebody adds a line to a managed file in the middle of a change. */
export const faultKinds = [
  'power',
  'cable',
  'loss',
  'delay',
  'disk',
  'sshd',
  'frozen program',
  'frozen server',
  'killed program',
  'edit',
] as const;
export type FaultKind = (typeof faultKinds)[number];

/** What an operation says at its steps, in this order; "set up" from nothing says most of it twice (link, then change). */
export const marks = [
  'Installing the program',
  'Preparing the new files',
  'Arming the way back',
  'Changing',
  'Proving a fresh login',
  'Confirming',
  'Verifying',
] as const;

export type Mark = (typeof marks)[number];

/** The server on which the operation is started, or the other one. */
export type Target = 'coordinator' | 'peer';

/** When a fault begins: at a share of the usual duration, or some milliseconds after one of the times a mark is said. */
type Instant = { readonly share: number } | { readonly mark: Mark; readonly which: number; readonly afterMs: number };

export type Fault = {
  readonly kind: FaultKind;
  readonly targets: readonly Target[];
  readonly at: Instant;
  /** Milliseconds until it is mended; `end`: not before the operation has ended. */
  readonly until: number | 'end';
  /** Of a full disk: kilobytes that are left free. */
  readonly freeKb: number;
};

export type Round = {
  readonly seed: number;
  readonly round: number;
  /** All of them in order of preference: the first that the pair's state allows is done. */
  readonly operations: readonly Operation[];
  /** Where both servers may start it: which one. */
  readonly on: 'cms1' | 'cms2';
  readonly faults: readonly Fault[];
  /** Who settles what is left open: the servers by themselves, given time, or a person with `cmsadm recover`. */
  readonly settledBy: 'itself' | 'person';
  /** Whether the administrator adds a line to a managed file of each server beforehand. */
  readonly line: boolean;
};

const faultWeights: Readonly<Record<FaultKind, number>> = {
  power: 5,
  cable: 4,
  loss: 2,
  delay: 2,
  disk: 3,
  sshd: 2,
  'frozen program': 3,
  'frozen server': 2,
  'killed program': 2,
  edit: 1,
};

const markWeights: Readonly<Record<Mark, number>> = {
  'Installing the program': 1,
  'Preparing the new files': 2,
  'Arming the way back': 2,
  Changing: 6,
  'Proving a fresh login': 3,
  Confirming: 5,
  Verifying: 1,
};

/** The plan of one round: a pure function of seed and round. */
export function planRound(seed: number, round: number): Round {
  const random = randomFor(`${seed}:${round}`);
  const count = random.share() < 0.65 ? 1 : 2;
  return {
    seed,
    round,
    operations: random.shuffled(operations),
    on: random.pick(['cms1', 'cms2']),
    faults: Array.from({ length: count }, () => planFault(random)),
    settledBy: random.pick(['itself', 'person']),
    line: random.share() < 0.3,
  };
}

function planFault(random: Random): Fault {
  const kind = random.weighted(faultWeights, faultKinds);
  const both = kind === 'power' && random.share() < 0.3;
  return {
    kind,
    targets: both ? ['coordinator', 'peer'] : [random.pick<Target>(['coordinator', 'peer'])],
    at: planInstant(random),
    until: planEnd(kind, random),
    freeKb: kind === 'disk' ? random.pick([0, 0, 8, 64, 512, 50_000]) : 0,
  };
}

function planInstant(random: Random): Instant {
  if (random.share() < 0.4) return { share: thousandths(random.share()) };
  const mark = random.weighted(markWeights, marks);
  // Steps take from a few milliseconds to some seconds: most of the instants come early, some late.
  const afterMs = Math.round(400 * random.share() ** 3);
  return { mark, which: thousandths(random.share()), afterMs };
}

/** The other end of a session gives up after half a minute: some faults last longer than that, most do not. */
const overlong = { least: 28_000, most: 38_000 } as const;

function planEnd(kind: FaultKind, random: Random): number | 'end' {
  const long = random.share() < 0.3;
  switch (kind) {
    case 'power':
      return long ? 'end' : random.whole(0, 6000);
    case 'cable':
    case 'sshd':
    case 'disk':
      return long ? 'end' : random.whole(200, 5000);
    case 'loss':
    case 'delay':
      return random.whole(3000, 15_000);
    case 'frozen program':
    case 'frozen server':
      return long ? random.whole(overlong.least, overlong.most) : random.whole(500, 8000);
    case 'killed program':
    case 'edit':
      return 0;
  }
}

const thousandths = (share: number): number => Math.floor(share * 1000) / 1000;

/** The plan in one line, as it is printed and can be compared. */
export function tellPlan({ round, operations: order, on, faults, settledBy, line }: Round): string {
  const when = (at: Instant): string =>
    'share' in at ? `at ${at.share} of its time` : `${at.afterMs} ms after "${at.mark}" (${at.which})`;
  const long = (until: number | 'end'): string =>
    until === 'end' ? ' to its end' : until > 0 ? ` for ${until} ms` : '';
  const told = faults.map(({ kind, targets, at, until, freeKb }) => {
    const free = kind === 'disk' ? ` (${freeKb} kB left)` : '';
    return `${kind}${free} of ${targets.join(' and ')} ${when(at)}${long(until)}`;
  });
  return `round ${round}: ${order.join(' > ')}, on ${on} if both may; ${told.join('; ')}; settled by ${settledBy}${line ? '; lines added' : ''}`;
}
