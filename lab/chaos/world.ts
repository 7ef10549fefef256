import { copyIn, down, exec, reset, up, writeFile } from '../lab.ts';
import { haPackageFile, installProduct, labPackages } from '../product.ts';
import { passwords } from '../servers.ts';
import { type Deed, deedOf } from './operations.ts';
import { differences, normalForm, type PairState, type Reference, type References } from './references.ts';
import { start } from './running.ts';
import type { Operation } from './schedule.ts';
import { type Both, look, onBoth, type PairServer, pair, type Standing } from './standing.ts';
import { nothingSaid, type Usual, usualOf } from './usual.ts';

/** The window in which an unconfirmed change waits: the shortest that the settings allow. */
export const CONFIRM_SECONDS = 10;

/** Small enough to be filled, large enough for two programs. */
const DISK_MB = 900;

/** What is known of the pair without faults: how it stands in each state, how long each operation takes. */
export type Calibration = {
  readonly references: References;
  /** How an operation goes without faults, by what it is and where it starts. */
  readonly usual: (deed: Deed) => Usual;
  /** Notes that an operation came through; the fastest counts, so that instants lie within its time. */
  readonly cameThrough: (deed: Deed, milliseconds: number) => void;
};

/** A fresh lab with the product on cms1, from which set up can start. */
export async function freshLab(diskMb = DISK_MB): Promise<void> {
  await down();
  await up({ diskMb });
  await furnishBoth();
}

/** As `freshLab`, faster: after a violation. Host keys stay. */
export async function freshDisks(): Promise<void> {
  await reset();
  await furnishBoth();
}

async function furnishBoth(): Promise<void> {
  await installProduct('cms1', { confirmSeconds: CONFIRM_SECONDS });
  await writeFile('cms1', '/root/peer-password', `${passwords.root}\n`, { mode: 0o600 });
  // Each probing login would else start and stop a user manager of root's.
  for (const server of pair)
    await exec(server, ['sh', '-c', 'mkdir -p /var/lib/systemd/linger && touch /var/lib/systemd/linger/root']);
  // Linked, set up may be started on either server.
  const licence = await exec('cms1', ['base64', labPackages.licence]);
  await exec('cms2', ['sh', '-c', `base64 -d >${labPackages.licence}`], { input: licence.stdout });
  await copyIn('cms2', haPackageFile(), labPackages.haPackage);
}

const idOf = ({ operation, from }: Pick<Deed, 'operation' | 'from'>): string => `${operation}, ${from}`;

/**
 * Goes through all states once without faults, by every operation, and notes how both servers stand and how long it took.
 * Ends where it began. Throws when an operation fails, or leaves a state that came by two ways in two forms.
 */
export async function calibrate(say: (line: string) => void): Promise<Calibration> {
  const references = new Map<PairState, Both<Reference>>();
  const known = new Map<string, Usual>();
  let standings = await onBoth(look);
  let state: PairState = 'single';
  references.set(state, normalForm(standings));
  const round: readonly [Operation, PairServer][] = [
    ['set up', 'cms1'],
    ['restore', 'cms1'],
    ['set up', 'cms2'],
    ['reverse', 'cms2'],
    ['reverse', 'cms1'],
    ['disable', 'cms2'],
  ];
  for (const [operation, on] of round) {
    const deed = await deedOf(operation, state, on, standings);
    if (!deed) throw new Error(`${operation} is not possible in the state "${state}"`);
    const usual = await carryOut(deed);
    const { milliseconds } = usual;
    known.set(idOf(deed), usual);
    say(`${operation} on ${deed.on}, ${deed.from} -> ${deed.to}: ${(milliseconds / 1000).toFixed(1)} s`);
    standings = await settledLook(deed.to);
    const normal = normalForm(standings);
    const first = references.get(deed.to);
    references.set(deed.to, first ?? normal);
    const apart = first ? pair.flatMap((server) => apartFrom(first[server], normal[server])) : [];
    if (apart.length > 0) throw new Error(`"${deed.to}" has two forms: ${apart.join('; ')}`);
    state = deed.to;
  }
  const usual = (deed: Deed): Usual => known.get(idOf(deed)) ?? nearest(deed, known);
  return {
    references,
    usual,
    cameThrough: (deed, milliseconds) => {
      const before = usual(deed);
      known.set(idOf(deed), { ...before, milliseconds: Math.min(before.milliseconds, milliseconds) });
    },
  };
}

const apartFrom = (known: Reference, found: Reference): string[] => [
  ...differences(known.files, found.files),
  ...differences(known.force, found.force),
];

/** Of an operation that was not seen from this state: the same from another one, which may do more. */
function nearest({ operation }: Deed, known: ReadonlyMap<string, Usual>): Usual {
  const seen = [...known].filter(([id]) => id.startsWith(`${operation},`)).map(([, usual]) => usual);
  const shortest = seen.sort((a, b) => a.milliseconds - b.milliseconds)[0];
  if (shortest === undefined) throw new Error(`${operation} was never seen without faults`);
  return operation === 'disable' ? { milliseconds: shortest.milliseconds / 2, said: nothingSaid } : shortest;
}

/** Carries an operation out without faults. Throws with all that it said when it fails. */
async function carryOut(deed: Deed): Promise<Usual> {
  const running = start(deed.on, deed.argv);
  const exitCode = await running.ended;
  if (exitCode === 0) return usualOf(running.said(), running.milliseconds());
  const said = running.said().map(({ text }) => text);
  throw new Error(`${deed.argv.slice(0, 3).join(' ')} ended with ${exitCode}:\n${said.slice(-30).join('\n')}`);
}

// The other server's session ends, and takes the program away, a moment after the operation.
async function settledLook(state: PairState): Promise<Both<Standing>> {
  const isDone = ({ cms2 }: Both<Standing>): boolean =>
    state !== 'single' || ![...cms2.files.keys()].some((path) => path.startsWith('/opt/cmsadm'));
  for (let tries = 20; ; tries -= 1) {
    const standings = await onBoth(look);
    if (isDone(standings) || tries === 0) return standings;
  }
}

/** Brings a single pair to a state, without faults. */
export async function bringTo(wanted: PairState): Promise<void> {
  const ways: Readonly<Record<PairState, readonly [Operation, PairServer][]>> = {
    single: [],
    linked: [
      ['set up', 'cms1'],
      ['restore', 'cms1'],
    ],
    'cms1 primary': [['set up', 'cms1']],
    'cms2 primary': [
      ['set up', 'cms1'],
      ['reverse', 'cms1'],
    ],
  };
  let state: PairState = 'single';
  for (const [operation, on] of ways[wanted]) {
    const deed = await deedOf(operation, state, on, await onBoth(look));
    if (!deed) throw new Error(`${operation} is not possible in the state "${state}"`);
    await carryOut(deed);
    state = deed.to;
  }
}
