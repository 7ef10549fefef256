import { unfinishedRoles } from '../change/journal.ts';
import { CmsadmError } from '../errors.ts';
import { at } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { paths, readLink, readPair } from '../pair/state.ts';
import type { Profile } from '../profile/schema.ts';
import { watchAcdLinks } from './acd-links.ts';
import { type Agent, type AgentOptions, makeAgent, savedText } from './agent.ts';
import { controlVerbs } from './control.ts';
import { isSystemError } from './data-set.ts';
import type { LiveSet } from './live-set.ts';
import { keepPruning } from './prune.ts';
import { receiveVerbs } from './receive.ts';
import { renderEarly, renderOwn } from './render.ts';
import { bePrimary, beSecondary } from './roles.ts';
import { listen } from './socket.ts';
import { hasAuthority } from './standing.ts';
import { makeUnwatched } from './unwatched.ts';
import { keepWanted } from './wanted.ts';
import { watchFolder } from './watch.ts';

/**
 * The long-running service of one server: does what the saved pair says, until the signal. With the authority it sends
 * every change of the data sets; on the other server it takes them, and notices what is edited there.
 * @throws CmsadmError agent-running; else only bugs: what is in the way is logged and tried again
 */
export async function runAgent(host: Host, profile: Profile, options: AgentOptions): Promise<void> {
  const { signal, notify, log } = options;
  let saved = '';
  const agent = makeAgent(host, profile, options, () => saved);
  const closeSocket = await listen(host, () => {
    const receive = receiveVerbs(agent);
    return { verbs: { ...receive.verbs, ...controlVerbs(agent), ping: async () => 'pong' }, end: receive.end };
  });
  notify?.ready();
  const signs = setInterval(() => notify?.alive(), 15_000);
  const { stall, sign } = agent.timing;
  const lookAround = (): void => {
    agent.lookForStall(stall);
    agent.refresh(sign);
  };
  const stalls = setInterval(lookAround, Math.min(5_000, stall / 4));
  // They end with the loop, also where a bug ends that: else nobody would start this agent again.
  const ending = new AbortController();
  const over = AbortSignal.any([signal, ending.signal]);
  const wanted = keepWanted(agent, over);
  const pruning = keepPruning(agent, over);
  const acdLinks = watchAcdLinks(agent, over, options.returnsToMain ?? (() => false));
  const unwatched = setInterval(makeUnwatched(agent), Math.min(5_000, stall / 4));
  let stateWatch = watchFolder(at(host.root, paths.state), () => agent.bell.ring());
  signal.addEventListener('abort', agent.bell.ring, { once: true });
  try {
    while (!signal.aborted) {
      stateWatch ??= watchFolder(at(host.root, paths.state), () => agent.bell.ring());
      saved = savedText(host);
      await agent.pause(await oneTurn(agent, signal));
    }
  } finally {
    ending.abort();
    clearInterval(stalls);
    clearInterval(unwatched);
    stateWatch?.close();
    agent.refuseAsked();
    closeSocket();
    for (const live of agent.sets.values()) {
      live.close();
      flushOrLog(live, log);
    }
    // A program that makes things as wanted, or applies what came, is not killed half-way; its unit waits for it.
    await wanted;
    await agent.senders.taking;
    await acdLinks;
    await pruning;
    clearInterval(signs);
    agent.tell({ state: 'stopped' });
    agent.end();
  }
}

/** What a full disk does not take of the index is read and compared again. */
function flushOrLog({ set, tree }: LiveSet, log: (line: string) => void): void {
  try {
    tree.agreed.flush();
  } catch (error) {
    if (!isSystemError(error)) throw error;
    log(`the index of ${set.name} cannot be written: ${error.message}`);
  }
}

/** Does what the saved pair says until that changes or fails. @returns how long to wait before the next turn */
async function oneTurn(agent: Agent, signal: AbortSignal): Promise<number> {
  const { host, timing } = agent;
  try {
    const link = readLink(host.root);
    const pair = readPair(host.root);
    if (!link || !pair) {
      agent.tell({ role: 'none', epoch: 0, state: 'this server belongs to no pair' });
      return timing.retry;
    }
    const role = hasAuthority(host, pair) ? 'primary' : 'secondary';
    if (unfinishedRoles(host.root).length > 0) {
      // What is not confirmed may still be put back, and the roles with it.
      agent.tell({ role, epoch: pair.epoch, state: 'a change waits for its confirmation' });
      return timing.settle;
    }
    agent.tell({ role, epoch: pair.epoch });
    if (agent.appliedFor.epoch !== pair.epoch) {
      agent.appliedFor.epoch = pair.epoch;
      for (const wanted of agent.wantedBells.values()) wanted.ring();
    }
    for (const live of agent.sets.values())
      if (role === 'primary') renderEarly(agent, live);
      else renderOwn(agent, live);
    if (role === 'primary') await bePrimary(agent, link, pair);
    else await beSecondary(agent, link, pair);
  } catch (error) {
    if (!(error instanceof CmsadmError) && !isSystemError(error)) throw error;
    if (!signal.aborted) agent.tell({ state: error.message });
  }
  return timing.retry;
}
