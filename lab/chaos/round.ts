import { setTimeout as sleep } from 'node:timers/promises';
import { exec } from '../lab.ts';
import { addLine, type Befallen, befall, lineNumber, type Scene } from './faults.ts';
import { chooseDeed } from './operations.ts';
import { loginComplaints, startProbe, tryLogin } from './probe.ts';
import { normalForm, type PairState } from './references.ts';
import { type Running, start } from './running.ts';
import type { Operation, Round } from './schedule.ts';
import { endAlone, mendAll, settle } from './settle.ts';
import { type Both, look, onBoth, type PairServer, pair, type Standing } from './standing.ts';
import { type Case, goneLines, holdsRemnants, judge, type Line, mayBeApart, type Verdict } from './verdict.ts';
import { type Calibration, CONFIRM_SECONDS } from './world.ts';

/** What is carried on from round to round. */
export type World = {
  readonly calibration: Calibration;
  state: PairState;
  /** Lines of the administrator that must stand in their files. */
  lines: readonly Line[];
  nextLine: number;
};

export type Outcome = 'planned' | 'before' | 'link only' | 'ended alone' | 'violated';

export type RoundResult = {
  readonly round: number;
  readonly operation: Operation;
  readonly on: PairServer;
  readonly from: PairState;
  readonly to: PairState;
  readonly faults: readonly Befallen[];
  readonly exitCode: number | null;
  /** What it gave as the reason where it failed. */
  readonly reason: string;
  readonly outcome: Outcome;
  /** The state in which the round has left cms1, and without a violation the pair. */
  readonly left: PairState;
  /** True where cms2 is left with a half-unpacked program, which the next set up takes over. */
  readonly remnants: boolean;
  readonly settled: string;
  readonly settledSeconds: number;
  readonly logins: number;
  readonly seconds: number;
  readonly violations: readonly string[];
  /** What `cmsadm recover` said on each server. */
  readonly recoveries: readonly string[];
  /** The last that the operation said. */
  readonly said: readonly string[];
};

/** Files to which an administrator adds lines now and then; `#` begins a comment in each. */
const linedFiles = [
  '/etc/hosts',
  '/etc/services',
  '/etc/chrony/chrony.conf',
  '/etc/ssh/sshd_config',
  '/etc/nftables.conf',
  '/opt/informix/etc/sqlhosts',
  '/opt/informix/etc/onconfig.cms',
  '/root/.ssh/authorized_keys',
] as const;

/** An operation that has not ended this long after all faults are mended hangs. */
const HANG_MS = 120_000;
/** A session that fell silent, and with it its lock and its program, is gone after half a minute. */
const STRAYS_MS = 45_000;

/** One round: an operation, its faults, their end; then waits for the pair to settle, and judges it. */
export async function runRound(round: Round, world: World): Promise<RoundResult> {
  const begun = performance.now();
  const newLine = lineWriter(world);
  if (round.line) await Promise.all(pair.map((server) => addLine(newLine(server))));
  const before = await onBoth(look);
  const deed = await chooseDeed(round, world.state, before);
  const probe = startProbe();
  const running = start(deed.on, deed.argv);
  const scene: Scene = { deed, running, usual: world.calibration.usual(deed), excuses: [], newLine };
  const befallen: Befallen[] = [];
  try {
    const end = await playOut(round, world, scene, before, befallen);
    const attempts = [...(await probe.stop()), ...(await Promise.all(pair.map(tryLogin)))];
    const violations = [...end.violations, ...loginComplaints(attempts, scene.excuses, CONFIRM_SECONDS)];
    const outcome = outcomeOf(violations, end.alone, world.state, deed);
    const logins = attempts.filter(({ ok }) => ok).length;
    return { ...told(round, scene, befallen, begun), ...end, outcome, left: world.state, logins, violations };
  } catch (error) {
    // A server that does not boot, a look that hangs: the round has no good end.
    const why = error instanceof Error ? error.message : String(error);
    const end = {
      exitCode: null,
      left: world.state,
      remnants: false,
      settled: 'not',
      settledSeconds: 0,
      logins: 0,
    } as const;
    const violations = [`the round could not be brought to its end: ${why}`];
    return { ...told(round, scene, befallen, begun), ...end, outcome: 'violated', violations, recoveries: [] };
  } finally {
    await probe.stop();
  }
}

type End = Pick<RoundResult, 'exitCode' | 'remnants' | 'settled' | 'settledSeconds' | 'violations' | 'recoveries'> & {
  readonly alone: boolean;
};

/** Lets the faults strike, mends everything, has the pair settle, and judges it; carries the pair's state on. */
async function playOut(
  round: Round,
  world: World,
  scene: Scene,
  before: Both<Standing>,
  befallen: Befallen[],
): Promise<End> {
  const { deed, running } = scene;
  const took = running.ended.then(() => running.milliseconds());
  befallen.push(...(await Promise.all(round.faults.map((fault) => befall(fault, scene)))));
  await mendAll();
  const exitCode = await Promise.race([running.ended, sleep(HANG_MS, 'hangs' as const, { ref: false })]);
  const hangs = exitCode === 'hangs' ? [`the operation has not ended ${HANG_MS / 1000} s after all was mended`] : [];
  const settled = hangs.length > 0 ? nothingSettled : await settle(round.settledBy);
  const judged = await judgeWhenQuiet({
    deed,
    references: world.calibration.references,
    before,
    mayHoldRemnants: holdsRemnants(before.cms2) || befallen.some(isHardOnCms2),
    exitCode: exitCode === 'hangs' ? undefined : exitCode,
  });
  const { verdict, alone } = await endWhereApart(judged, settled.complaints.length + hangs.length === 0);
  const lost = await lostLines(world, deed.operation, verdict, judged.after);
  if (exitCode === 0) world.calibration.cameThrough(deed, await took);
  world.state = verdict.states.cms1 ?? world.state;
  return {
    alone,
    exitCode: exitCode === 'hangs' ? null : (exitCode ?? null),
    remnants: holdsRemnants(judged.after.cms2),
    settled: settled.by,
    settledSeconds: tenths(settled.seconds),
    violations: [...hangs, ...settled.complaints, ...verdict.complaints, ...lost],
    recoveries: settled.told,
  };
}

const told = ({ round }: Round, { deed, running }: Scene, faults: readonly Befallen[], begun: number) => ({
  round,
  operation: deed.operation,
  on: deed.on,
  from: deed.from,
  to: deed.to,
  faults,
  reason: reasonIn(running),
  seconds: tenths((performance.now() - begun) / 1000),
  said: running
    .said()
    .slice(-40)
    .map(({ text }) => text),
});

const reasonIn = (running: Running): string =>
  running
    .said()
    .find(({ text }) => text.includes('ERROR'))
    ?.text.trim() ?? '';

const isHardOnCms2 = ({ kind, servers, at }: Befallen): boolean =>
  at !== undefined && servers.includes('cms2') && ['power', 'killed program', 'disk'].includes(kind);

const tenths = (seconds: number): number => Math.round(seconds * 10) / 10;

const nothingSettled = { by: 'nothing open', seconds: 0, told: [], complaints: [] } as const;

function outcomeOf(
  violations: readonly string[],
  alone: boolean,
  state: PairState,
  { from, to }: { readonly from: PairState; readonly to: PairState },
): Outcome {
  if (violations.length > 0) return 'violated';
  if (alone) return 'ended alone';
  return state === to ? 'planned' : state === from ? 'before' : 'link only';
}

function lineWriter(world: World): Scene['newLine'] {
  return (server) => {
    const number = world.nextLine;
    world.nextLine += 1;
    const path = linedFiles[number % linedFiles.length] ?? linedFiles[0];
    const line = { server, path, text: lineNumber(number) };
    world.lines = [...world.lines, line];
    return line;
  };
}

type Judged = { readonly one: Case; readonly verdict: Verdict; readonly after: Both<Standing> };

/** Looks and judges until nothing is left to complain of, or what should go by itself had its time. */
async function judgeWhenQuiet(known: Omit<Case, 'after' | 'normal'>): Promise<Judged> {
  const deadline = performance.now() + STRAYS_MS;
  for (;;) {
    const after = await onBoth(look);
    const one = { ...known, after, normal: normalForm(after) };
    const verdict = judge(one);
    if (verdict.complaints.length === 0 || performance.now() > deadline) return { one, verdict, after };
    await sleep(2000);
  }
}

/** Where a link or its end left one server alone, ends the pair on the other one too, and judges again. */
async function endWhereApart({ one, verdict }: Judged, isWell: boolean): Promise<{ verdict: Verdict; alone: boolean }> {
  const { states } = verdict;
  const apart = states.cms1 !== states.cms2 && mayBeApart(states, one.deed);
  if (!apart || !isWell || verdict.complaints.length > 0) return { verdict, alone: false };
  const refused = await endAlone(states.cms1 === 'single' ? 'cms2' : 'cms1');
  const { verdict: ended } = await judgeWhenQuiet({ ...one, deed: { ...one.deed, to: 'single' }, exitCode: undefined });
  return { verdict: { ...ended, complaints: [...refused, ...ended.complaints] }, alone: true };
}

/**
 * Lines that are nowhere: not in their file, nor kept beside it where a way back or a restore had to put them. What is
 * kept is not looked for in the file again.
 */
async function lostLines(
  world: World,
  operation: Operation,
  verdict: Verdict,
  after: Both<Standing>,
): Promise<string[]> {
  const lost: string[] = [];
  for (const line of goneLines(world.lines, after)) {
    const { server, path, text } = line;
    const places = operation === 'restore' ? `${path}.zdt_*` : `${path}.zdt_*.edited*`;
    const found = await exec(server, ['sh', '-c', `grep -lF "$1" ${places}`, 'sh', text], { reject: false });
    if (found.stdout === '' && verdict.complaints.length === 0)
      lost.push(`${server}: the administrator's line "${text}" is gone from ${path} and is not kept beside it`);
    world.lines = world.lines.filter((one) => one !== line);
  }
  // An edit that was kept is a person's to look at: it is looked at.
  for (const server of pair) {
    const kept = after[server].backups.filter((path) => path.includes('.edited'));
    if (kept.length > 0) await exec(server, ['rm', '-f', ...kept]);
  }
  return lost;
}
