import { setTimeout as sleep } from 'node:timers/promises';
import { lastLines } from '../host/processes.ts';
import { at } from '../host/root.ts';
import type { WantedStatus } from '../pair/sync-status.ts';
import { printable } from '../printable.ts';
import type { Agent } from './agent.ts';
import { carriedBy, type DataSet } from './entry.ts';
import type { LiveSet } from './live-set.ts';
import { watchFolder } from './watch.ts';

type Wanted = NonNullable<DataSet['wanted']>;

/** So many lines of a report are kept, and so many characters of each. */
const MOST = { lines: 20, length: 200 };

const shown = (text: string): string[] =>
  text
    .split('\n')
    .map((line) => printable(line.trim()).slice(0, MOST.length))
    .filter((line) => line !== '')
    .slice(0, MOST.lines);

/**
 * Makes this server stand as the files of a data set want it, and asks how it stands then.
 * @returns undefined where the agent is to stop before it has asked
 */
async function apply({ run, host }: Agent, wanted: Wanted, signal: AbortSignal): Promise<WantedStatus | undefined> {
  const { seconds } = wanted;
  const ended = (state: WantedStatus['state'], lines: readonly string[]): WantedStatus => ({
    state,
    lines: [...lines],
    at: new Date(host.system.clock()).toISOString(),
  });
  for (const [name, argv] of [
    ['apply', wanted.apply],
    ['report', wanted.report],
  ] as const) {
    if (signal.aborted) return undefined;
    const { exitCode, stdout, stderr } = await run(argv, { seconds });
    if (exitCode !== 0)
      return ended(`${name} failed`, shown([`exit code ${exitCode}`, ...lastLines(stderr || stdout)].join('\n')));
    if (name === 'report' && stdout.trim() !== '') return ended('differs', shown(stdout));
  }
  return ended('as wanted', []);
}

/** Whether what changed may say what is wanted; what is not known may. */
export function concernsWanted(set: DataSet): (path: string | undefined) => boolean {
  const carried = carriedBy(set);
  const files = set.wanted?.files?.map((file) => Buffer.from(file).toString('latin1'));
  return (path) =>
    path === undefined ||
    (carried(path) && (files?.some((file) => path === file || path.startsWith(`${file}/`)) ?? true));
}

/**
 * Keeps this server as its data sets of wanted state say, on either server of a pair, connected or not: at the start,
 * soon after each change, after each full pass, and every so often. What fails is told, and holds up nothing else.
 */
export async function keepWanted(agent: Agent, signal: AbortSignal): Promise<void> {
  await Promise.all([...agent.sets.values()].map((live) => keepOne(agent, live, signal)));
}

async function keepOne(agent: Agent, { set }: LiveSet, signal: AbortSignal): Promise<void> {
  const { wanted, name } = set;
  const bell = agent.wantedBells.get(name);
  if (!wanted || !bell) return;
  const { host, timing } = agent;
  const concerns = concernsWanted(set);
  signal.addEventListener('abort', bell.ring, { once: true });
  // The set's own watches begin with its first comparison, which a server that is alone never makes.
  const watch = () =>
    watchFolder(at(host.root, set.path), (path) => {
      if (concerns(path)) bell.ring();
    });
  let watching = watch();
  // The data first: a full pass and a bulk transfer need the processor.
  const isBusy = (): boolean => agent.senders.inBulk || (agent.isFollowing() && agent.status().passPercent !== null);
  try {
    // Who set the pair up goes on with the next command.
    await sleep(timing.wantedFirst, undefined, { signal }).catch(() => {});
    while (!signal.aborted) {
      watching ??= watch();
      while (!signal.aborted && isBusy()) await bell.wait(1_000);
      const standing = await apply(agent, wanted, signal);
      if (standing) agent.tellWanted(name, standing);
      // Its ring may have ended the wait above.
      if (signal.aborted) return;
      if (!(await bell.wait(wanted.every * 1000))) continue;
      // Until a moment without further changes, but not for ever.
      for (let more = 0; more < 20 && !signal.aborted && (await bell.wait(timing.wanted)); more += 1);
    }
  } finally {
    watching?.close();
  }
}
