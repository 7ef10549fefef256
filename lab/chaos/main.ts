import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { CmsadmError, exitCodes } from '../../src/errors.ts';
import { available, down } from '../lab.ts';
import { evidence } from './evidence.ts';
import { appendResult, stateBefore } from './results.ts';
import { type RoundResult, runRound, type World } from './round.ts';
import { planRound, tellPlan } from './schedule.ts';
import { planSyncRound, tellSyncPlan } from './sync/plan.ts';
import type { SyncResult } from './sync/round.ts';
import { runSyncRounds, syncTotalsOf } from './sync/run.ts';
import { tellRound, totalsOf } from './totals.ts';
import { bringTo, calibrate, freshDisks, freshLab } from './world.ts';

const usage = `Breaks things while a pair of the lab is set up, reversed, restored and disabled. See docs/reliability.md.

  npm run chaos -- --seed N --rounds R     rounds 1 to R of that seed's schedule
    --sync            breaks admin-sync instead, while a program writes in its data set
    --from K          begins with round K, in the state that the results file tells of the round before
    --log FILE        appends each round to a results file, one JSON object a line
    --json            one JSON object at the end, on standard output; all else goes to standard error
    --keep-going      goes on after a violation, on fresh disks
    --schedule        prints the schedule and does nothing
    --totals FILE     writes how many rounds passed and failed, in the form of a test report
`;

type Options = {
  readonly sync: boolean;
  readonly seed: number;
  readonly rounds: number;
  readonly from: number;
  readonly json: boolean;
  readonly log: string | undefined;
  readonly keepGoing: boolean;
  readonly schedule: boolean;
  readonly totals: string | undefined;
};

function optionsIn(args: readonly string[]): Options {
  const flags = {
    sync: { type: 'boolean', default: false },
    seed: { type: 'string' },
    rounds: { type: 'string', default: '10' },
    from: { type: 'string', default: '1' },
    json: { type: 'boolean', default: false },
    log: { type: 'string' },
    'keep-going': { type: 'boolean', default: false },
    schedule: { type: 'boolean', default: false },
    totals: { type: 'string' },
  } as const;
  try {
    const { values } = parseArgs({ args: [...args], options: flags, strict: true });
    const { sync, json, schedule, log, totals, 'keep-going': keepGoing } = values;
    const [seed, rounds, from] = [numberIn(values.seed), numberIn(values.rounds), numberIn(values.from)];
    return { sync, seed, rounds, from, json, log, keepGoing, schedule, totals };
  } catch (error) {
    throw new CmsadmError('usage', error instanceof Error ? error.message : String(error), {
      exitCode: exitCodes.usage,
      remedy: 'npm run chaos -- --seed 1 --rounds 10',
    });
  }
}

function numberIn(text: string | undefined): number {
  if (text !== undefined && /^[1-9]\d{0,8}$/.test(text)) return Number(text);
  throw new Error('--seed, --rounds and --from take whole numbers from 1.');
}

// The code that is tested, for the record; a tree without git has no name.
function commitOf(): string {
  try {
    return execFileSync('git', ['describe', '--always', '--dirty', '--abbrev=10'], { encoding: 'utf8' }).trim();
  } catch {
    return 'unknown';
  }
}

// What the operation said is kept where somebody will want to read it.
const shortened = (result: RoundResult): RoundResult =>
  result.violations.length === 0 && result.exitCode === 0 ? { ...result, said: [] } : result;

async function runRounds(options: Options, say: (line: string) => void): Promise<readonly RoundResult[]> {
  const { seed, rounds, from, log, keepGoing } = options;
  const commit = commitOf();
  say(`seed ${seed}, rounds ${from} to ${from + rounds - 1}, commit ${commit}`);
  await freshLab();
  const world: World = { calibration: await calibrate(say), state: 'single', lines: [], nextLine: from * 100 };
  world.state = log === undefined ? 'single' : stateBefore(log, seed, from);
  await bringTo(world.state);
  const results: RoundResult[] = [];
  for (let number = from; number < from + rounds; number += 1) {
    const round = planRound(seed, number);
    say(tellPlan(round));
    const result = await runRound(round, world);
    say(tellRound(result));
    results.push(result);
    if (log !== undefined) appendResult(log, { seed, commit, ...shortened(result) });
    if (result.violations.length === 0) continue;
    for (const line of [`VIOLATION in round ${number} of seed ${seed}:`, ...result.violations]) say(`  ${line}`);
    for (const line of [...result.said, ...result.recoveries, ...(await evidence())]) say(`    ${line}`);
    if (!keepGoing) break;
    await freshDisks();
    world.state = 'single';
    world.lines = [];
  }
  return results;
}

async function brokenChanges(options: Options, say: (line: string) => void) {
  const results = await runRounds(options, say);
  return { totals: totalsOf(options.seed, commitOf(), results), results };
}

async function brokenSync(options: Options, say: (line: string) => void) {
  const { seed, log } = options;
  const commit = commitOf();
  say(`admin-sync, seed ${seed}, commit ${commit}`);
  const note = (result: SyncResult): void => {
    if (log !== undefined) appendResult(log, { seed, commit, ...result });
  };
  const results = await runSyncRounds({ ...options, say, note });
  return { totals: syncTotalsOf(seed, commit, results), results };
}

async function main(args: readonly string[]): Promise<number> {
  const options = optionsIn(args);
  const { sync, seed, rounds, from, json, schedule, totals: totalsFile } = options;
  if (schedule) {
    const tell = (round: number): string =>
      sync ? tellSyncPlan(planSyncRound(seed, round)) : tellPlan(planRound(seed, round));
    for (let number = from; number < from + rounds; number += 1) console.log(tell(number));
    return exitCodes.done;
  }
  const { ok, why } = available();
  if (!ok) throw new CmsadmError('lab-unavailable', `No lab here: ${why}.`, { remedy: 'See docs/lab.md.' });
  const say = (line: string): void => (json ? console.error(line) : console.log(line));
  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    process.once(signal, () => void down().finally(() => process.exit(exitCodes.interrupted)));
  const { totals, results } = await (sync ? brokenSync(options, say) : brokenChanges(options, say)).finally(down);
  if (json) console.log(JSON.stringify({ ...totals, results }));
  else say(JSON.stringify(totals, undefined, 2));
  const passed = totals.rounds - totals.violations;
  const counted = { numPassedTests: passed, numFailedTests: totals.violations, numPendingTests: 0, numTodoTests: 0 };
  if (totalsFile !== undefined) writeFileSync(totalsFile, `${JSON.stringify(counted)}\n`);
  return totals.violations === 0 ? exitCodes.done : 1;
}

const args = process.argv.slice(2);
if (args.length === 0 || args.includes('--help')) process.stdout.write(usage);
else
  try {
    process.exitCode = await main(args);
  } catch (error) {
    if (!(error instanceof CmsadmError)) throw error;
    for (const line of [error.message, ...error.details, `-> ${error.remedy ?? ''}`]) console.error(line);
    process.exitCode = error.exitCode;
  }
