import * as v from 'valibot';
import { exec } from '../../lab.ts';
import { other, type PairServer, pair } from '../standing.ts';
import type { Tree } from './acts.ts';
import type { SyncFault } from './plan.ts';
import { apart, list, notAsMade } from './tree.ts';

/** What is wrong with the pair after a round; empty when nothing is. `names` is how many it found in the data set. */
export type Verdict = { readonly complaints: readonly string[]; readonly names: number };

const statusSchema = v.object({
  role: v.string(),
  state: v.string(),
  queue: v.number(),
  seq: v.number(),
  acked: v.number(),
});

/**
 * Judges the pair: both trees the same, and what the writer has left; the primary's agent in step, with nothing
 * unacknowledged; one agent on each server, and none that died of itself since then (seconds since the epoch); no conflict, since nobody wrote on the secondary; no alarm without a reason.
 */
export async function judgeSync(
  primary: PairServer,
  tree: Tree,
  faults: readonly SyncFault[],
  since: number,
): Promise<Verdict> {
  const [here, there] = await Promise.all([list(primary), list(other(primary))]);
  const perServer = await Promise.all(
    pair.map((server) => serverComplaints(server, server === primary, faults, since)),
  );
  return {
    names: here.size,
    complaints: [...apart(here, there).slice(0, 8), ...notAsMade(here, tree).slice(0, 8), ...perServer.flat()],
  };
}

async function serverComplaints(
  server: PairServer,
  isPrimary: boolean,
  faults: readonly SyncFault[],
  since: number,
): Promise<string[]> {
  const read = async (script: string): Promise<string> =>
    (await exec(server, ['sh', '-c', script], { reject: false })).stdout;
  const status = v.safeParse(v.pipe(v.string(), v.parseJson(), statusSchema), await read('cat /run/cmsadm/agent.json'));
  const agents = (await read("ps -eo args= | grep -c '[c]li.js agent'")).trim();
  const conflicts = await read('cat /var/lib/cmsadm/sync/conflicts.jsonl 2>/dev/null');
  const crashes = await read(
    `journalctl --quiet --no-pager --since=@${since} -u cmsadm-agent | grep -B 12 'Node\\.js v'`,
  );
  const alarms = (await read('cat /var/lib/cmsadm/alarms.jsonl 2>/dev/null')).split('\n').filter((line) => line !== '');
  return [
    ...(status.success ? statusComplaints(status.output, isPrimary) : ['the agent tells no status']),
    ...(agents === '1' ? [] : [`${agents} agents run`]),
    ...(crashes === '' ? [] : [`the agent died of a bug: ${crashes.slice(0, 800)}`]),
    ...(conflicts === '' ? [] : [`a conflict, though nobody wrote there: ${conflicts.slice(0, 400)}`]),
    ...alarms.filter((line) => !isExplained(line, faults)).map((line) => `an alarm that nothing explains: ${line}`),
  ].map((line) => `${server}: ${line}`);
}

type Status = v.InferOutput<typeof statusSchema>;

function statusComplaints({ role, state, queue, seq, acked }: Status, isPrimary: boolean): string[] {
  if (role !== (isPrimary ? 'primary' : 'secondary')) return [`it is ${role}`];
  if (!isPrimary) return [];
  return state === 'in step' && queue === 0 && acked === seq
    ? []
    : [`not in step: "${state}", queue ${queue}, ${acked} of ${seq} acknowledged`];
}

/** Alarms that a fault may raise, by a word in them. */
const reasons: Readonly<Record<SyncFault, RegExp>> = {
  'agent killed': /reach|stall/,
  'agent stopped': /reach|stall/,
  power: /reach|stall|nothing is known here/,
  cable: /reach|stall/,
  loss: /reach|stall/,
  delay: /reach|stall/,
  disk: /written|full|space/,
  clock: /^$/,
  reverse: /^$/,
};

const isExplained = (alarm: string, faults: readonly SyncFault[]): boolean =>
  faults.some((fault) => reasons[fault].test(alarm));

/** Reads the alarms away, as a person does. */
export async function clearAlarms(): Promise<void> {
  for (const server of pair) await exec(server, ['rm', '-f', '/var/lib/cmsadm/alarms.jsonl']);
}
