// One trial: an operation, a fault at one of its points, what the servers then do by themselves, and the verdict.
import { dirname } from 'node:path';
import { readJournal, unfinished } from '../../src/change/journal.ts';
import { loginToPeer } from '../../src/change/remote-server.ts';
import { managedFiles } from '../../src/pair/managed-files.ts';
import { paths, readLink } from '../../src/pair/state.ts';
import { isTag } from '../../src/pair/tag.ts';
import { isPutBackBySecond, type Operation, recoverOn, run, sampleOf, worldBefore } from './operations.ts';
import { differencesFrom, type Known, leftOvers, outcomeOf, putBack, standingOf, standingOfBoth } from './verdict.ts';
import {
  cuts,
  type Fault,
  type FaultKind,
  failures,
  fileErrors,
  isExpected,
  killings,
  type Name,
  names,
  type Point,
  type World,
} from './world.ts';

/** An operation ready to be tried: the pair before it, its points, and the ways in which it may end. */
export type Stage = {
  readonly operation: Operation;
  readonly before: World;
  readonly points: Readonly<Record<Name, readonly Point[]>>;
  readonly known: readonly Known[];
};

/** Runs the operation once without any fault: that numbers its points and shows what is planned. */
export async function prepare(operation: Operation): Promise<Stage> {
  const before = await worldBefore(operation);
  const world = before.copy();
  world.watch(undefined);
  await run(world, operation);
  await world.quiet();
  const points = { cms1: [...world.servers.cms1.points], cms2: [...world.servers.cms2.points] };
  const asBefore: Known = { word: 'before', standing: standingOfBoth(before) };
  const known: Known[] = [asBefore, { word: 'planned', standing: standingOfBoth(world) }];
  if (isPutBackBySecond(operation)) known.push(putBack(asBefore));
  if (operation === 'set up') known.push(linkedOnly(before, world));
  if (operation === 'disable') known.push(linkedOnly(world, before));
  const left = leftOvers(world);
  if (left.length > 0) throw new Error(`${operation} without any fault leaves ${left.join(', ')}`);
  return { operation, before, points, known };
}

/** Two linked servers and no pair: the rows of the link, and the program, as with the pair, everything else as with none. */
function linkedOnly(single: World, paired: World): Known {
  const ofLink = managedFiles(single.profile, 'debian')
    .filter(({ step }) => step === 'link')
    .map(({ path }) => path);
  const isOfLink = (path: string): boolean =>
    ofLink.some((one) => path === one || (path.startsWith(`${one}.`) && isTag(path.slice(one.length + 1)))) ||
    path === 'unit cmsadm-recover.service' ||
    path.startsWith(dirname(paths.program));
  const one = (name: Name): ReadonlyMap<string, string> =>
    new Map([
      ...[...standingOf(single, name)].filter(([path]) => !isOfLink(path)),
      ...[...standingOf(paired, name)].filter(([path]) => isOfLink(path)),
    ]);
  return { word: 'linked', standing: { cms1: one('cms1'), cms2: one('cms2') } };
}

/** Every fault that can be made at a point. A killing at a reading point leaves what the next writing one leaves. */
function faultsAt(point: Point): readonly FaultKind[] {
  const killing = point.kind === 'write' ? ([...killings, 'Ctrl-C'] as const) : [];
  if (point.what === 'message') return [...killing, ...cuts];
  if (point.what === 'program') return [...killing, ...(point.kind === 'write' ? failures : (['fails'] as const))];
  if (point.what === 'service') return [...killing, 'fails'];
  return [...killing, ...fileErrors.filter((code) => point.kind === 'write' || code === 'EIO' || code === 'EACCES')];
}

/** Every fault of an operation that can be made. */
export const allFaults = ({ points }: Stage): Fault[] =>
  names.flatMap((server) =>
    points[server].flatMap((point, at) =>
      faultsAt(point)
        // The operator sits at one of the two.
        .filter((kind) => kind !== 'Ctrl-C' || server === 'cms1')
        .map((kind): Fault => ({ server, at, kind })),
    ),
  );

/** Those that are tried: all, or every so many'th of an operation that goes most of its way with another one. */
export const triedFaults = (stage: Stage): Fault[] => {
  const every = sampleOf(stage.operation);
  return allFaults(stage).filter((_, index) => index % every === 0);
};

export type Result = {
  readonly fault: Fault;
  /** before, planned, linked, linked on one server; or mixed. */
  readonly outcome: string;
  /** What is wrong, in words; empty where all is well. */
  readonly wrong: readonly string[];
};

/** Makes one fault, lets both servers do what they do by themselves, recovers as an operator, and judges. */
export async function attempt(stage: Stage, fault: Fault): Promise<Result> {
  const world = stage.before.copy();
  const wrong: string[] = [];
  const expected = async (work: Promise<void>): Promise<void> => {
    try {
      await work;
    } catch (error) {
      if (!isExpected(error)) wrong.push(error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
  };
  // Both orders of what two servers do by themselves come up, whichever point it is.
  const first: readonly Name[] = fault.at % 2 === 0 ? names : [...names].reverse();
  const then: readonly Name[] = fault.at % 4 < 2 ? names : [...names].reverse();

  world.watch(fault);
  await expected(run(world, stage.operation));
  await world.quiet();
  // The way back of one server in two meets the disk as it is; the next try finds it well.
  if ((fault.kind === 'ENOSPC' || fault.kind === 'EROFS') && (fault.at >> 1) % 2 === 0)
    for (const name of first) wrong.push(...(await firedTooEarly(world, name, expected)));
  world.heal();
  for (const name of first) {
    if (!world.servers[name].up) await expected(world.boot(name));
    else await expected(world.fireTimers(name));
    await world.quiet();
  }
  const recoverBoth = async (): Promise<void> => {
    for (const name of then) {
      await expected(recoverOn(world, name));
      await world.quiet();
    }
  };
  await recoverBoth();
  // At the link step each server is linked or not by itself.
  const { operation } = stage;
  const linkSteps =
    operation === 'set up' ? ['before', 'linked'] : operation === 'disable' ? ['linked', 'planned'] : [];
  const judged = (): string | undefined => outcomeOf(world, stage.known, linkSteps);
  // Whoever had to wait for the other one asks again. Of what is settled one in four shows that it stays so.
  const isSettled = judged() !== undefined && leftOvers(world).length === 0;
  if (!isSettled || (fault.at >> 2) % 4 === 0) await recoverBoth();
  const outcome = judged();
  if (outcome === undefined) wrong.push(...describe(stage, world));
  if (names.every((name) => isLinked(world, name)))
    for (const name of names)
      await expected(login(world, name).catch((error: unknown) => void wrong.push(`${name}: ${String(error)}`)));
  return { fault, outcome: outcome ?? 'mixed', wrong: [...wrong, ...leftOvers(world)] };
}

/** Fires what is armed while the disk refuses. @returns what is not settled and will not be tried again, in words */
async function firedTooEarly(
  world: World,
  name: Name,
  expected: (work: Promise<void>) => Promise<void>,
): Promise<string[]> {
  await expected(world.fireTimers(name));
  await world.quiet();
  const { timers, disk } = world.servers[name];
  const root = { prefix: '/', ownersCount: true, disk };
  const armed = [...timers.values()].map((argv) => argv.at(-1));
  return unfinished(root)
    .filter((id) => readJournal(root, id).states.includes('committing') && !armed.includes(id))
    .map((id) => `${name}: nothing tries ${id} again`);
}

const isLinked = (world: World, name: Name): boolean => world.servers[name].disk.existsSync(paths.link);

/** A login on the other server, as the pair's key allows it. */
async function login(world: World, name: Name): Promise<void> {
  const process = world.spawn(name);
  try {
    const link = readLink(process.host.root);
    if (!link) throw new Error('not linked');
    (await loginToPeer(process.host, link)).close();
  } finally {
    process.kill();
  }
  await world.quiet();
}

/** For a mixed outcome: each server's difference to the nearest known way of standing. */
function describe(stage: Stage, world: World): string[] {
  return names.map((name) => {
    const standing = standingOf(world, name);
    const nearest = stage.known
      .map((one) => ({ word: one.word, differing: differencesFrom(one, name, standing) }))
      .sort((a, b) => a.differing.length - b.differing.length)[0];
    return `${name} is nearest to "${nearest?.word}", but differs in: ${nearest?.differing.slice(0, 6).join(', ')}`;
  });
}
