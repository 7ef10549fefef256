import { unfinishedRoles } from '../change/journal.ts';
import { loginToPeer } from '../change/remote-server.ts';
import { CmsadmError } from '../errors.ts';
import { at, readText } from '../host/root.ts';
import type { Session } from '../host/session.ts';
import type { Host } from '../host/system.ts';
import { type Link, type Pair, paths, readLink, readPair } from '../pair/state.ts';
import { type SyncStatus, writeStatus } from '../pair/sync-status.ts';
import type { Profile } from '../profile/schema.ts';
import { adopt } from './adopt.ts';
import { isSystemError } from './data-set.ts';
import { follow } from './follow.ts';
import { askStanding, hasAuthority } from './standing.ts';
import { type Bell, makeBell, watchFolder } from './watch.ts';

/** How long the agent waits, in milliseconds. */
const usualTiming = {
  /** Until it connects again, and looks again for a pair. */
  retry: 5_000,
  /** Until it looks again whether a change was confirmed. */
  settle: 1_000,
  heartbeat: 20_000,
  /** Between two comparisons with what the other server is known to have, events or not. */
  compare: 60_000,
  /** For further events after a first one. */
  coalesce: 20,
};
type Timing = typeof usualTiming;

export type AgentOptions = {
  readonly signal: AbortSignal;
  /** Takes one line; the journal adds the time. */
  readonly log: (line: string) => void;
  readonly login?: (host: Host, link: Link) => Promise<Session>;
  readonly timing?: Partial<Timing>;
};

/** One run of the agent. */
export type Agent = {
  readonly host: Host;
  readonly profile: Profile;
  readonly timing: Timing;
  readonly log: (line: string) => void;
  /** Rung by whatever may end a wait. */
  readonly bell: Bell;
  /** Waits; ends early when the turn is over. */
  pause(milliseconds: number): Promise<void>;
  /** True when the agent is to stop, or the saved pair is no longer the one that this turn began with. */
  over(): boolean;
  /** Logs in to the other server; the session ends with the agent. */
  login(link: Link): Promise<Session>;
  /** Writes the status; a new role or state is also logged. */
  tell(news: Partial<Omit<SyncStatus, 'pid' | 'at'>>): void;
};

/**
 * The long-running service of one server: does what the saved pair says, until the signal. With the authority it pushes
 * the data sets; on the secondary it asks every 20 s whether the primary is there.
 * @throws only bugs; what is in the way is logged and tried again
 */
export async function runAgent(host: Host, profile: Profile, options: AgentOptions): Promise<void> {
  const { signal } = options;
  let saved = '';
  const agent = makeAgent(host, profile, options, () => saved);
  let stateWatch = watchFolder(at(host.root, paths.state), () => agent.bell.ring());
  signal.addEventListener('abort', agent.bell.ring, { once: true });
  try {
    while (!signal.aborted) {
      stateWatch ??= watchFolder(at(host.root, paths.state), () => agent.bell.ring());
      saved = savedText(host);
      await agent.pause(await oneTurn(agent, signal));
    }
  } finally {
    stateWatch?.close();
    agent.tell({ state: 'stopped' });
  }
}

const savedText = ({ root }: Host): string => `${readText(root, paths.link)}\n${readText(root, paths.pair)}`;

function makeAgent(host: Host, profile: Profile, options: AgentOptions, saved: () => string): Agent {
  const { signal, log, login = loginToPeer } = options;
  const bell = makeBell();
  let status: SyncStatus = {
    role: 'none',
    epoch: 0,
    state: 'starting',
    lastPass: null,
    lag: null,
    queue: 0,
    passPercent: null,
    paused: null,
    seq: 0,
    acked: 0,
    conflicts: 0,
    sets: [],
    pid: process.pid,
    at: '',
  };
  const over = (): boolean => signal.aborted || savedText(host) !== saved();
  return {
    host,
    profile,
    log,
    bell,
    timing: { ...usualTiming, ...options.timing },
    over,
    pause: async (milliseconds) => {
      const end = performance.now() + milliseconds;
      while (!over() && performance.now() < end) await bell.wait(end - performance.now());
    },
    login: async (link) => {
      const session = await login(host, link);
      signal.addEventListener('abort', session.close, { once: true });
      void session.closed.then(() => signal.removeEventListener('abort', session.close));
      if (signal.aborted) session.close();
      return session;
    },
    tell: (news) => {
      const at = new Date(host.system.clock()).toISOString();
      const newRole = (news.role ?? status.role) !== status.role || (news.epoch ?? status.epoch) !== status.epoch;
      const next = { ...status, ...(newRole ? { state: 'connecting to the other server' } : {}), ...news, at };
      if (newRole || next.state !== status.state)
        log(next.role === 'none' ? next.state : `${next.role}, epoch ${next.epoch}: ${next.state}`);
      status = next;
      writeStatus(host.root, status);
    },
  };
}

/** Does what the saved pair says until that changes or fails. @returns how long to wait before the next turn */
async function oneTurn(agent: Agent, signal: AbortSignal): Promise<number> {
  const { host, timing } = agent;
  try {
    const link = readLink(host.root);
    const pair = readPair(host.root);
    if (!link || !pair) {
      agent.tell({ role: 'none', epoch: 0, state: 'this server belongs to no pair', queue: 0 });
      return timing.retry;
    }
    const role = hasAuthority(host, pair) ? 'primary' : 'secondary';
    if (unfinishedRoles(host.root).length > 0) {
      // What is not confirmed may still be put back, and the roles with it.
      agent.tell({ role, epoch: pair.epoch, state: 'a change waits for its confirmation' });
      return timing.settle;
    }
    agent.tell({ role, epoch: pair.epoch });
    if (role === 'primary') await bePrimary(agent, link, pair);
    else await beSecondary(agent, link, pair);
  } catch (error) {
    if (!(error instanceof CmsadmError) && !isSystemError(error)) throw error;
    if (!signal.aborted) agent.tell({ state: error.message });
  }
  return timing.retry;
}

async function bePrimary(agent: Agent, link: Link, pair: Pair): Promise<void> {
  const { host, profile } = agent;
  const session = await agent.login(link);
  try {
    for (;;) {
      const theirs = await askStanding(session, pair.epoch);
      if (theirs.epoch > pair.epoch) {
        const text = await adopt(host, profile, session, pair, theirs);
        if (text === undefined) throw waits(link);
        return agent.log(text);
      }
      await session.call('syncOpen', { epoch: pair.epoch });
      await follow(agent, session, pair);
      if (agent.over()) return;
    }
  } finally {
    session.close();
  }
}

const waits = (link: Link): CmsadmError =>
  new CmsadmError('newer-epoch', `${link.peer.fqdn} has a newer epoch; waiting until a change is settled`);

async function beSecondary(agent: Agent, link: Link, pair: Pair): Promise<void> {
  while (!agent.over()) {
    agent.tell({ state: await heartbeat(agent, link, pair) });
    await agent.pause(agent.timing.heartbeat);
  }
}

async function heartbeat(agent: Agent, link: Link, pair: Pair): Promise<string> {
  try {
    const session = await agent.login(link);
    try {
      const theirs = await askStanding(session, pair.epoch);
      if (theirs.epoch === pair.epoch) return 'the primary is reachable';
      return `the primary is reachable, but at epoch ${theirs.epoch}`;
    } finally {
      session.close();
    }
  } catch (error) {
    if (!(error instanceof CmsadmError)) throw error;
    return `the primary is not reachable: ${error.message}`;
  }
}
