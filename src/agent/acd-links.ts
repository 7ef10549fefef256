import { type Acd, acdName, readAcds } from '../acd/definition.ts';
import { acdProfile, stateOf } from '../acd/hooks.ts';
import { type AcdLink, readLinkOf } from '../acd/link.ts';
import { probe } from '../acd/probe.ts';
import { addressToTry, afterTry, type CycleRules, type CycleState, cycle, firstTry } from '../acd/retry-cycle.ts';
import { writeWatched } from '../acd/watched.ts';
import { CmsadmError } from '../errors.ts';
import type { Agent } from './agent.ts';
import { isSystemError } from './data-set.ts';
import { raiseOnce, settleBut } from './standing-alarms.ts';

/** What is known of one link; forgotten when the link changes. */
type Known = { readonly link: string; readonly state: CycleState; readonly head: string };

/** A round that took longer than its time is followed by this pause, in milliseconds. */
const SHORTEST = 1000;

const alarmHead = (acd: Acd): string => `${acdName(acd)}: `;

/**
 * Watches this server's links to its ACDs in the retry cycle of a link: one address at a time. A link that the product
 * says is up needs no call, and one that is busied out gets none. After a whole round without an answer it is an alarm.
 * @param returnsToMain asked before each round of tries: whether links go back to their main address as soon as it answers
 */
export async function watchAcdLinks(
  agent: Pick<Agent, 'host' | 'profile'>,
  signal: AbortSignal,
  returnsToMain: () => boolean,
): Promise<void> {
  const { host, profile } = agent;
  if (!profile.acd || !host.system.real) return;
  const known = new Map<number, Known>();
  const { retrySeconds } = profile.acd;
  while (!signal.aborted) {
    const began = performance.now();
    try {
      await lookOnce(agent, known, returnsToMain());
    } catch (error) {
      // The administration folder is away, or a file in it is spoilt: wanted state tells that.
      // A full disk below the alarms: told again with the next round.
      if (!(error instanceof CmsadmError) && !isSystemError(error)) throw error;
    }
    // From one try to the next: a switch that swallows packets takes its time of it.
    const rest = retrySeconds * 1000 - (performance.now() - began);
    await untilAborted(signal, Math.max(rest, SHORTEST));
  }
  // Nobody looks any more.
  writeWatched(host.root, {});
}

/** Waits; ends early, or at once, when the signal is aborted. */
const untilAborted = (signal: AbortSignal, milliseconds: number): Promise<void> =>
  new Promise((resolve) => {
    const over = (): void => {
      clearTimeout(timer);
      signal.removeEventListener('abort', over);
      resolve();
    };
    const timer = setTimeout(over, milliseconds);
    signal.addEventListener('abort', over);
    if (signal.aborted) over();
  });

/** One try of each link, side by side: each switch may let us wait. */
export async function lookOnce(
  { host, profile }: Pick<Agent, 'host' | 'profile'>,
  known: Map<number, Known>,
  returnsToMain: boolean,
): Promise<void> {
  acdProfile(profile);
  const links = readAcds(host.root, profile).flatMap((acd) => {
    const link = readLinkOf(host.root, acd.number);
    return link ? [{ acd, link }] : [];
  });
  const watched: Record<string, string> = {};
  await Promise.all(
    links.map(async ({ acd, link }) => {
      const now = await stateOf(host, profile, acd.number);
      if (now.link === 'busy') {
        watched[acd.number] = 'busied out';
        settleBut(host, [alarmHead(acd)], undefined);
        return;
      }
      const text = JSON.stringify(link);
      const before = known.get(acd.number);
      const state = before?.link === text ? before.state : firstTry;
      const rules = { isDual: link.survivable !== undefined, returnsToMain };
      const next = now.link === 'up' ? upByItself(state) : await tried(host.system, link, state, rules);
      known.set(acd.number, { link: text, state: next, head: alarmHead(acd) });
      watched[acd.number] = now.link === 'up' ? 'the product holds it' : stateText(link, next);
      const alarm = next.rounds > 0 ? `${alarmHead(acd)}no address of the switch answers this server.` : undefined;
      if (alarm !== undefined) raiseOnce(host, alarm);
      else if (next.up) settleBut(host, [alarmHead(acd)], undefined);
    }),
  );
  // An ACD that is gone has no alarm.
  for (const [number, { head }] of known)
    if (!(number in watched)) {
      settleBut(host, [head], undefined);
      known.delete(number);
    }
  writeWatched(host.root, watched);
}

async function tried(
  system: Agent['host']['system'],
  link: AcdLink,
  state: CycleState,
  rules: CycleRules,
): Promise<CycleState> {
  const { host, port } = addressOf(link, addressToTry(state, rules));
  return afterTry(state, (await probe(system, host, port)).answers, rules);
}

/** The product holds the connection, at an address of its own choice: no try was made, and none is counted. */
const upByItself = ({ address }: CycleState): CycleState => ({ ...firstTry, address, up: true });

const addressOf = (link: AcdLink, address: CycleState['address']): { readonly host: string; readonly port: number } =>
  address === 'survivable' && link.survivable ? link.survivable : link;

function stateText(link: AcdLink, state: CycleState): string {
  const { host, port } = addressOf(link, state.address);
  const place = `${host} port ${port}${link.survivable ? ` (${state.address})` : ''}`;
  return state.up ? `${place} answers` : `${place} is tried, ${state.failed} of ${cycle[state.address]} tries failed`;
}
