import { reset, up } from '../lab/lab.ts';
import { installProduct } from '../lab/product.ts';
import { ansibleVersion, prepareAnsible } from './ansible.ts';
import { inTurn, type Measure, median, timed } from './measure.ts';
import { keepState, labPair, restoreState, serviceRuns, setUpCommand } from './pair.ts';

const rounds = 3;
const secondRuns = 2;

type Side = {
  /** Carries set up out and says whether anything was changed. */
  readonly run: () => Promise<boolean>;
};
type Times = { readonly first: number[]; readonly second: number[] };

/**
 * Set up against an Ansible playbook for the same files, keys, units and restarts, on the lab: the program is on both
 * servers, as Python is. Each round gives either side single servers, times its first run and two more that find nothing
 * to do. Throws where a run does not do what it is timed for, or a run with nothing to do touches a service.
 */
export async function benchSetup(): Promise<readonly Measure[]> {
  const say = (line: string): void => console.error(line);
  await up({ say });
  await reset();
  await Promise.all(labPair.map((name) => installProduct(name)));
  const ansible = await prepareAnsible();
  try {
    say(await ansibleVersion());
    await keepState();
    const setUp = await setUpCommand();
    const ours: Side = { run: async () => (await setUp()) === 'done' };
    const playing = (pipelining: boolean): Side => ({ run: async () => (await ansible.play({ pipelining })) > 0 });
    const asShipped = await compare(ours, playing(false), say);
    const pipelining = await compare(ours, playing(true), say);
    return [...measures('setup', asShipped), ...measures('setup-pipelining', pipelining)];
  } finally {
    ansible.remove();
  }
}

async function compare(ours: Side, peer: Side, say: (line: string) => void): Promise<{ ours: Times; peer: Times }> {
  const times = {
    ours: { first: [] as number[], second: [] as number[] },
    peer: { first: [] as number[], second: [] as number[] },
  };
  const round = (side: Side, to: Times) => async (): Promise<number> => {
    await restoreState();
    const first = await timedRun(side, true);
    const runsBefore = await serviceRuns();
    const again = [];
    for (let run = 0; run < secondRuns; run++) again.push(await timedRun(side, false));
    if ((await serviceRuns()) !== runsBefore) throw new Error('a run with nothing to do touched a service');
    to.first.push(first);
    to.second.push(...again);
    say(
      `${side === ours ? 'ours' : 'peer'}: first ${first.toFixed(0)} ms, again ${again.map((ms) => ms.toFixed(0)).join(', ')} ms`,
    );
    return first;
  };
  await inTurn(rounds, round(ours, times.ours), round(peer, times.peer));
  return times;
}

async function timedRun(side: Side, changes: boolean): Promise<number> {
  let changed: boolean | undefined;
  const ms = await timed(async () => {
    changed = await side.run();
  });
  if (changed === changes) return ms;
  throw new Error(changes ? 'a first run changed nothing' : 'a second run changed something');
}

const measures = (name: string, { ours, peer }: { ours: Times; peer: Times }): Measure[] =>
  (['first', 'second'] as const).map((which) => {
    const [own, others] = [median(ours[which]), median(peer[which])];
    return {
      measure: `${name}-${which}-run`,
      unit: 'ms',
      ours: own,
      peer: others,
      ratio: others / own,
      n: ours[which].length,
    };
  });
