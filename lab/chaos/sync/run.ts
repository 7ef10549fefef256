import { exec } from '../../lab.ts';
import { findGuest } from '../../lifecycle.ts';
import { pair } from '../standing.ts';
import { bringTo, freshDisks, freshLab } from '../world.ts';
import { planSyncRound, type SyncFault, tellSyncPlan } from './plan.ts';
import { fillTree, runSyncRound, type SyncResult, type SyncWorld } from './round.ts';
import { installClock } from './strike.ts';
import { installWriter } from './writer.ts';

export type SyncOptions = {
  readonly seed: number;
  readonly rounds: number;
  readonly from: number;
  readonly keepGoing: boolean;
  readonly say: (line: string) => void;
  /** Takes each round's result as soon as it is there. */
  readonly note: (result: SyncResult) => void;
};

/** What is replaced and removed is kept for weeks: a hundred rounds keep more than a gigabyte. In memory only once it is written. */
const DISK_MB = 4_000;

/** Runs rounds of admin-sync on one pair; after a violation on a fresh one, where it is to go on. */
export async function runSyncRounds(options: SyncOptions): Promise<readonly SyncResult[]> {
  const { seed, rounds, from, keepGoing, say, note } = options;
  await freshLab(DISK_MB);
  let world = await freshPair(seed);
  const results: SyncResult[] = [];
  for (let round = from; round < from + rounds; round += 1) {
    const plan = planSyncRound(seed, round);
    say(tellSyncPlan(plan));
    const result = await runSyncRound(plan, world);
    say(tellSyncRound(result));
    results.push(result);
    note(result);
    if (result.violations.length === 0) continue;
    for (const line of [`VIOLATION in round ${round} of seed ${seed}:`, ...result.violations]) say(`  ${line}`);
    for (const line of await syncEvidence()) say(`    ${line}`);
    if (!keepGoing) break;
    await freshDisks();
    world = await freshPair(seed);
  }
  return results;
}

const evidenceScript = `cat /run/cmsadm/agent.json
tail -n 3 /var/log/cmsadm/sync.log /var/lib/cmsadm/alarms.jsonl 2>/dev/null
tail -n 4 /var/log/cmsadm/admin.log
journalctl --no-pager --quiet --output=short-precise -n 40 -u cmsadm-agent`;

/** What both servers know of their last minute, line by line: for whoever looks into a violation. */
async function syncEvidence(): Promise<readonly string[]> {
  const told: string[] = [];
  for (const server of pair.filter((one) => findGuest(one) !== undefined)) {
    const { stdout } = await exec(server, ['sh', '-c', evidenceScript], { reject: false, timeoutMs: 20_000 });
    told.push(...stdout.split('\n').map((line) => `${server}: ${line.slice(0, 400)}`));
  }
  return told;
}

async function freshPair(seed: number): Promise<SyncWorld> {
  await bringTo('cms1 primary');
  const world: SyncWorld = { primary: 'cms1', tree: new Map(), next: 1, left: 0, since: 0, unfinished: undefined };
  await installClock();
  await installWriter('cms1');
  await fillTree(world, seed);
  return world;
}

function tellSyncRound(one: SyncResult): string {
  const { faults, servers, acts, unfinished, names, settled, primary, seconds, violations } = one;
  const verdict = violations.length === 0 ? 'in step' : 'VIOLATED';
  return `  ${faults.join(' and ')}, ${servers.join(' and ')}; ${acts} acts, ${unfinished} unfinished, ${names} names; ${verdict} after ${settled} s; primary ${primary}; ${seconds} s`;
}

/** What a run of rounds comes to. */
export function syncTotalsOf(seed: number, commit: string, results: readonly SyncResult[]) {
  const sum = (of: (one: SyncResult) => number): number => results.reduce((all, one) => all + of(one), 0);
  const faults: Partial<Record<SyncFault, number>> = {};
  for (const fault of results.flatMap((one) => one.faults)) faults[fault] = (faults[fault] ?? 0) + 1;
  const settled = results.map((one) => one.settled).sort((a, b) => a - b);
  return {
    seed,
    rounds: results.length,
    commit,
    faults,
    acts: sum(({ acts }) => acts),
    unfinished: sum(({ unfinished }) => unfinished),
    settledMedian: settled[Math.floor(settled.length / 2)] ?? 0,
    settledWorst: settled.at(-1) ?? 0,
    violations: results.filter(({ violations }) => violations.length > 0).length,
    seconds: Math.round(sum(({ seconds }) => seconds)),
  };
}
