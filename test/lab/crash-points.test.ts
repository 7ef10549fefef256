import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { evidence } from '../../lab/chaos/evidence.ts';
import { type Deed, deedOf } from '../../lab/chaos/operations.ts';
import { tryLogin } from '../../lab/chaos/probe.ts';
import { randomFor } from '../../lab/chaos/random.ts';
import { differences, normalForm, type PairState, type Reference } from '../../lab/chaos/references.ts';
import { start } from '../../lab/chaos/running.ts';
import { endAlone, settle } from '../../lab/chaos/settle.ts';
import { type Both, look, onBoth, type PairServer, pair, type Standing, underWay } from '../../lab/chaos/standing.ts';
import { type Case, judge, mayBeApart, type Verdict } from '../../lab/chaos/verdict.ts';
import { freshDisks, freshLab } from '../../lab/chaos/world.ts';
import { available, down } from '../../lab/lab.ts';
import { countCalls, crashAt, type How, prepareCrashes, type Role, roles } from './crash.ts';

const { ok, why } = available();

const seed = process.env['CRASH_SEED'] ?? '1';

const operations = ['set up', 'restore', 'reverse', 'disable'] as const;
type Operation = (typeof operations)[number];

/** The state in which each operation is started, on cms1. */
const startOf: Readonly<Record<Operation, PairState>> = {
  'set up': 'single',
  restore: 'cms1 primary',
  reverse: 'cms1 primary',
  disable: 'cms1 primary',
};

/** Of each operation so many points of each role, each in a part of its own of that role's calls. */
const perRole: Readonly<Record<Role, number>> = { coordinator: 3, peer: 2 };

/** One crash, after this share of the calls that its role makes. */
type Slot = { readonly operation: Operation; readonly role: Role; readonly share: number; readonly how: How };

const random = randomFor(`crash points: ${seed}`);
const slots = operations
  .flatMap((operation) => roles.map((role) => ({ operation, role, of: perRole[role] })))
  .flatMap(({ of, ...one }) => Array.from({ length: of }, (_, i) => ({ ...one, share: (i + random.share()) / of })))
  .map((one, i): [string, Slot] => {
    const how = i % 2 === 0 ? 'killed' : 'without power';
    return [`${one.operation}, the ${one.role} ${how} after ${(one.share * 100).toFixed(1)} %`, { ...one, how }];
  });

// What should go by itself has this long; a session that fell silent holds its lock for half a minute.
const QUIET_MS = 45_000;

/** Asks until there is nothing to complain of, or the time is over; returns the last complaints. */
async function lasting(complaints: () => Promise<readonly string[]>): Promise<readonly string[]> {
  for (const end = Date.now() + QUIET_MS; ; await sleep(1000)) {
    const found = await complaints();
    if (found.length === 0 || Date.now() > end) return found;
  }
}

describe.skipIf(!ok)(`crash points on real servers, seed ${seed}${ok ? '' : ` (skipped: ${why})`}`, () => {
  const references = new Map<PairState, Both<Reference>>();
  const calls = new Map<Operation, Readonly<Record<Role, readonly string[]>>>();
  /** How the pair stands; undefined after a test that failed. */
  let state: PairState | undefined;

  beforeAll(async () => {
    await freshLab();
    await prepareCrashes();
    references.set('single', normalForm(await onBoth(look)));
    await count('set up', 'single');
    await count('restore', 'cms1 primary');
    await carryOut(await deedFor('set up', 'linked', 'cms1'));
    await count('reverse', 'cms1 primary');
    await carryOut(await deedFor('reverse', 'cms2 primary', 'cms2'));
    await count('disable', 'cms1 primary');
    state = 'single';
    const told = (operation: Operation) => roles.map((role) => `${calls.get(operation)?.[role].length} of the ${role}`);
    console.log(operations.map((operation) => `${operation}: calls ${told(operation).join(', ')}`).join('\n'));
  });
  afterAll(down);

  async function deedFor(operation: Operation, from: PairState, on: PairServer): Promise<Deed> {
    const deed = await deedOf(operation, from, on, await onBoth(look));
    if (!deed) throw new Error(`${operation} is not possible in the state "${from}"`);
    return deed;
  }

  /** Carries an operation out without a fault, counts its calls, and notes how the pair stands then. */
  async function count(operation: Operation, from: PairState): Promise<void> {
    const deed = await deedFor(operation, from, 'cms1');
    calls.set(operation, await countCalls(deed));
    expect(await lasting(async () => Object.values(await onBoth(underWay)).flat())).toEqual([]);
    if (!references.has(deed.to)) references.set(deed.to, normalForm(await onBoth(look)));
    else expect(await lasting(() => apartFrom(deed.to))).toEqual([]);
  }

  /** How the pair differs from a state as it was noted. */
  async function apartFrom(wanted: PairState): Promise<string[]> {
    const found = normalForm(await onBoth(look));
    const none = { files: new Map(), force: new Map() };
    return pair.flatMap((server) => {
      const { files, force } = references.get(wanted)?.[server] ?? none;
      return [...differences(files, found[server].files), ...differences(force, found[server].force)];
    });
  }

  async function carryOut({ on, argv }: Deed): Promise<void> {
    const running = start(on, argv);
    const exitCode = await running.ended;
    expect(
      exitCode,
      running
        .said()
        .map(({ text }) => text)
        .join('\n'),
    ).toBe(0);
  }

  /** Brings the pair to where an operation starts. */
  async function bringTo(wanted: PairState): Promise<void> {
    if (state === undefined) {
      await freshDisks();
      await prepareCrashes();
      state = 'single';
    }
    const from = state;
    state = undefined;
    if (wanted === 'single' && from !== 'single') await carryOut(await deedFor('disable', from, 'cms1'));
    if (wanted === 'cms1 primary' && from === 'cms2 primary') await carryOut(await deedFor('reverse', from, 'cms2'));
    if (wanted === 'cms1 primary' && (from === 'single' || from === 'linked'))
      await carryOut(await deedFor('set up', from, 'cms1'));
    expect(await lasting(() => apartFrom(wanted))).toEqual([]);
  }

  /** The pair where an operation starts, and that operation. */
  async function ready(operation: Operation): Promise<{ deed: Deed; before: Both<Standing> }> {
    await bringTo(startOf[operation]);
    return { deed: await deedFor(operation, startOf[operation], 'cms1'), before: await onBoth(look) };
  }

  /** The verdict, when nothing is left to complain of, or what should go by itself had its time. */
  async function judged(known: Omit<Case, 'after' | 'normal'>): Promise<Verdict> {
    const now = async (): Promise<Verdict> => {
      const after = await onBoth(look);
      return judge({ ...known, after, normal: normalForm(after) });
    };
    let verdict = await now();
    await lasting(async () => {
      if (verdict.complaints.length > 0) verdict = await now();
      return verdict.complaints;
    });
    return verdict;
  }

  it.each(slots)('%s', async (_, { operation, role, share, how }) => {
    const of = calls.get(operation)?.[role] ?? [];
    let at = 1 + Math.floor(share * of.length);
    let { deed, before } = await ready(operation);
    let crash = await crashAt(deed, role, at, how);
    // The first set up makes folders that the later ones find: its last calls have numbers that do not come again.
    if (crash.call === undefined && crash.exitCode === 0) {
      at = crash.calls;
      state = deed.to;
      ({ deed, before } = await ready(operation));
      crash = await crashAt(deed, role, at, how);
    }
    const told = `${operation}, ${role} ${how} at call ${at} of ${of.length}: ${crash.call ?? 'not reached'}`;
    expect(crash.call, [told, `there were ${crash.calls} calls`, ...crash.said].join('\n')).toBeDefined();
    const settled = await settle('person');
    const known = { deed, references, before, exitCode: crash.exitCode, mayHoldRemnants: role === 'peer' };
    let verdict = await judged(known);
    const complaints = [...settled.complaints, ...verdict.complaints];
    if (complaints.length > 0)
      console.log([told, ...complaints, ...crash.said, ...settled.told, ...(await evidence())].join('\n'));
    expect(complaints, told).toEqual([]);
    const { cms1, cms2 } = verdict.states;
    if (mayBeApart(verdict.states, deed)) {
      expect(await endAlone(cms1 === 'single' ? 'cms2' : 'cms1'), told).toEqual([]);
      verdict = await judged({ ...known, deed: { ...deed, to: 'single' }, exitCode: undefined });
      expect(verdict.complaints, told).toEqual([]);
    }
    for (const server of pair) expect(await tryLogin(server), told).toMatchObject({ server, ok: true });
    const settling = `${settled.by}, ${settled.seconds.toFixed(1)} s`;
    console.log(`${told} -> ${cms1 === cms2 ? cms1 : `${cms1} and ${cms2}`} (exit ${crash.exitCode}, ${settling})`);
    state = verdict.states.cms1;
  });
});
