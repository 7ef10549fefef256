import { reset, up } from '../lab/lab.ts';
import { installProduct } from '../lab/product.ts';
import { ansibleVersion, prepareAnsible } from './ansible.ts';
import { type Measure, median, timed } from './measure.ts';
import { keepState, labPair, restoreState, serviceRuns, setUpCommand } from './pair.ts';

const rounds = 3;
const secondRuns = 2;

type Side = {
  readonly name: string;
  /** Carries set up out and says whether anything was changed. */
  readonly run: () => Promise<boolean>;
  readonly first: number[];
  readonly second: number[];
};

/**
 * Set up against an Ansible playbook for the same files, keys, units and restarts, on the lab: the program is on both
 * servers, as Python is. Each round gives each side single servers in turn, times its first run and two more that find
 * nothing to do. Throws where a run does not do what it is timed for, or a run with nothing to do touches a service.
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
    const side = (name: string, run: Side['run']): Side => ({ name, run, first: [], second: [] });
    const ours = side('cmsadm', async () => (await setUp()) === 'done');
    const asShipped = side('ansible', async () => (await ansible.play({ pipelining: false })) > 0);
    const pipelining = side('ansible, pipelining', async () => (await ansible.play({ pipelining: true })) > 0);
    for (let round = 0; round < rounds; round++)
      for (const one of [ours, asShipped, pipelining]) await playRound(one, say);
    return [...measures('setup', ours, asShipped), ...measures('setup-ansible-pipelining', ours, pipelining)];
  } finally {
    ansible.remove();
  }
}

async function playRound(side: Side, say: (line: string) => void): Promise<void> {
  await restoreState();
  side.first.push(await timedRun(side, true));
  const before = await serviceRuns();
  for (let run = 0; run < secondRuns; run++) side.second.push(await timedRun(side, false));
  if ((await serviceRuns()) !== before) throw new Error(`${side.name}: a run with nothing to do touched a service`);
  const times = [side.first.at(-1), ...side.second.slice(-secondRuns)];
  say(`${side.name}: ${times.map((ms) => `${Math.round(ms ?? 0)} ms`).join(', ')}`);
}

async function timedRun(side: Side, changes: boolean): Promise<number> {
  let changed: boolean | undefined;
  const ms = await timed(async () => {
    changed = await side.run();
  });
  if (changed === changes) return ms;
  throw new Error(`${side.name}: a ${changes ? 'first run changed nothing' : 'second run changed something'}`);
}

const measures = (name: string, ours: Side, peer: Side): Measure[] =>
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
