import { setTimeout as sleep } from 'node:timers/promises';
import { CmsadmError } from '../../../src/errors.ts';
import { exec } from '../../lab.ts';
import { findGuest } from '../../lifecycle.ts';
import { type Random, randomFor } from '../random.ts';
import { other, type PairServer } from '../standing.ts';
import { type Act, mayVanish, nextAct, type Tree, touched, treeAfter, usualNames, vanishedBy } from './acts.ts';
import type { SyncFault, SyncRound } from './plan.ts';
import { mendAllOfSync, strike, struckServers } from './strike.ts';
import { clearAlarms, judgeSync } from './verdict.ts';
import { startWriter, type Writer } from './writer.ts';

/** What is carried on from round to round. */
export type SyncWorld = {
  primary: PairServer;
  /** What the writer has left in its folder. */
  tree: Tree;
  /** The number of the next act. */
  next: number;
  /** How many names may still vanish in this round. */
  left: number;
  /** When this round began, in seconds since the epoch. */
  since: number;
  /** An act whose writer died in the middle of it. */
  unfinished: Act | undefined;
};

export type SyncResult = {
  readonly round: number;
  readonly faults: readonly SyncFault[];
  readonly servers: readonly PairServer[];
  /** The primary at the end. */
  readonly primary: PairServer;
  readonly acts: number;
  /** Acts that their writer did not live to finish. */
  readonly unfinished: number;
  readonly names: number;
  /** Seconds from the end of the faults and the writing until all was in step. */
  readonly settled: number;
  readonly seconds: number;
  readonly violations: readonly string[];
};

/** A server that was cut off is found again after half a minute at most; then comes what has to be sent. */
const SETTLE_MS = 60_000;
/** At now and then one of so many acts, this many follow at once. */
const burst = { every: 40, acts: 25 } as const;

/** One round: a writer on the primary, its fault, their end; then waits until the pair is in step, and judges it. */
export async function runSyncRound(plan: SyncRound, world: SyncWorld): Promise<SyncResult> {
  const begun = performance.now();
  world.left = mayVanish;
  world.since = Math.floor(Date.now() / 1000);
  const first = world.next;
  const servers = plan.blows.flatMap((blow) => struckServers(blow, world.primary));
  const complaints: string[] = [];
  let unfinished = 0;
  try {
    unfinished = await writeAndStrike(plan, world, complaints);
    await mendAllOfSync();
    const mended = performance.now();
    const { names, complaints: found } = await judgeWhenInStep(world, told(plan, world).faults);
    complaints.push(...found);
    await clearAlarms();
    const settled = tenths(performance.now() - mended);
    return {
      ...told(plan, world),
      servers,
      acts: world.next - first,
      unfinished,
      names,
      settled,
      seconds: tenths(performance.now() - begun),
      violations: complaints,
    };
  } catch (error) {
    const why = error instanceof Error ? error.message : String(error);
    const violations = [...complaints, `the round could not be brought to its end: ${why}`];
    return {
      ...told(plan, world),
      servers,
      acts: world.next - first,
      unfinished,
      names: 0,
      settled: 0,
      seconds: tenths(performance.now() - begun),
      violations,
    };
  }
}

const told = ({ round, blows }: SyncRound, { primary }: SyncWorld) => ({
  round,
  faults: blows.map(({ fault }) => fault),
  primary,
});

const tenths = (milliseconds: number): number => Math.round(milliseconds / 100) / 10;

/** Has the writer work for its time, and the faults strike at their instants. @returns how many acts stayed unfinished */
async function writeAndStrike(plan: SyncRound, world: SyncWorld, complaints: string[]): Promise<number> {
  const random = randomFor(`sync acts:${plan.seed}:${plan.round}`);
  const begun = performance.now();
  const passed = (): number => performance.now() - begun;
  const due = [...plan.blows].sort((a, b) => a.at - b.at);
  const striking: Promise<void>[] = [];
  let writer: Writer | undefined;
  let unfinished = 0;
  while (passed() < plan.writes || due.length > 0) {
    const blow = passed() >= (due[0]?.at ?? Number.POSITIVE_INFINITY) ? due.shift() : undefined;
    if (blow?.fault === 'reverse') {
      await writer?.close();
      writer = undefined;
      complaints.push(...(await reverse(world)));
    } else if (blow !== undefined) striking.push(begin(strike(blow, world.primary)));
    if (writer?.isGone()) writer = undefined;
    writer ??= writerOn(world.primary);
    if (writer === undefined) await sleep(50);
    else if (!(await actOn(writer, world, random, plan.pace))) unfinished += 1;
  }
  await Promise.all(striking);
  // What was half done is taken away by a writer that lives.
  writer = writer === undefined || writer.isGone() ? startWriter(world.primary) : writer;
  await tidy(writer, world);
  await writer.close();
  return unfinished;
}

/** None where the server is off, or loses its power at this very moment. */
function writerOn(server: PairServer): Writer | undefined {
  try {
    return findGuest(server) === undefined ? undefined : startWriter(server);
  } catch (error) {
    if (error instanceof CmsadmError && error.code === 'lab-server-off') return undefined;
    throw error;
  }
}

/** Work that is waited for later: until then nobody is to take it for a bug that it may fail. */
function begin(work: Promise<void>): Promise<void> {
  work.catch(() => undefined);
  return work;
}

/** The next act, or several; false where the writer did not live to finish one. */
async function actOn(writer: Writer, world: SyncWorld, random: Random, pace: number): Promise<boolean> {
  const inARow = random.whole(1, burst.every) === 1 ? burst.acts : 1;
  for (let left = inARow; left > 0; left -= 1) {
    if (!(await tidy(writer, world))) return false;
    if (!(await perform(writer, world, nextAct(random, world.tree, world.next, world.left)))) return false;
  }
  await sleep((1000 / pace) * (0.5 + random.share()));
  return true;
}

async function perform(writer: Writer, world: SyncWorld, act: Act): Promise<boolean> {
  world.next += 1;
  world.left -= vanishedBy(act, world.tree);
  if (await writer.perform(act)) {
    world.tree = treeAfter(world.tree, act);
    return true;
  }
  world.unfinished = act;
  return false;
}

/** Removes what an act has left half done, so that what is there is known again. */
async function tidy(writer: Writer, world: SyncWorld): Promise<boolean> {
  const { unfinished } = world;
  if (unfinished === undefined) return true;
  for (const path of touched(unfinished)) {
    const act: Act = { op: 'remove', number: world.next, path };
    world.next += 1;
    if (!(await writer.perform(act))) return false;
    world.tree = treeAfter(world.tree, act);
  }
  world.unfinished = undefined;
  return true;
}

/** The roles change right after the writer's last act; nothing of it may be lost. @returns what is to be complained of */
async function reverse(world: SyncWorld): Promise<string[]> {
  const on = world.primary;
  const argv = ['cmsadm', 'config_HA', 'reverse', '--yes'];
  const { exitCode, stdout, stderr } = await exec(on, argv, { reject: false });
  if (exitCode !== 0) return [`reverse on ${on} ended with ${exitCode}: ${stderr} ${stdout.slice(-600)}`];
  world.primary = other(on);
  return [];
}

async function judgeWhenInStep(world: SyncWorld, faults: readonly SyncFault[]): ReturnType<typeof judgeSync> {
  const deadline = performance.now() + SETTLE_MS;
  for (;;) {
    const verdict = await judgeSync(world.primary, world.tree, faults, world.since);
    if (verdict.complaints.length === 0 || performance.now() > deadline) return verdict;
    await sleep(500);
  }
}

/** Fills the writer's folder before the first round, and waits until it is across. Throws where it does not come. */
export async function fillTree(world: SyncWorld, seed: number): Promise<void> {
  const random = randomFor(`sync fill:${seed}`);
  const writer = startWriter(world.primary);
  while (world.tree.size < usualNames)
    if (!(await perform(writer, world, nextAct(random, world.tree, world.next, 0))))
      throw new Error('the writer is gone');
  await writer.close();
  const { complaints } = await judgeWhenInStep(world, []);
  if (complaints.length > 0)
    throw new Error(`The pair does not come in step without any fault:\n${complaints.join('\n')}`);
}
