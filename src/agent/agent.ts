import { loginToAgent } from '../change/remote-server.ts';
import { CmsadmError } from '../errors.ts';
import type { Notifier } from '../host/notify.ts';
import { readText } from '../host/root.ts';
import type { Session } from '../host/session.ts';
import type { Host } from '../host/system.ts';
import { makeFolders } from '../host/writing.ts';
import { type Link, paths } from '../pair/state.ts';
import type { Profile } from '../profile/schema.ts';
import type { DataSet } from './entry.ts';
import { type LiveSet, openLiveSet } from './live-set.ts';
import { type RunProgram, runProgram } from './program.ts';
import { makeTeller, type Teller } from './teller.ts';
import { concernsWanted } from './wanted.ts';
import { type Bell, makeBell } from './watch.ts';

/** How long the agent waits, in milliseconds. */
const usualTiming = ({ keepalive }: Profile) => ({
  /** Until it connects again, and looks again for a pair. */
  retry: 5_000,
  /** Until it looks again whether a change was confirmed. */
  settle: 1_000,
  /** Between two signs of life over the channel; each also fetches what was edited on the other server. */
  heartbeat: keepalive.seconds * 1000,
  /** Between two looks of the secondary whether the primary is there; it logs in only if it did not hear from it. */
  reachable: keepalive.reconnect * 1000,
  /** Between two looks of the primary at the folders here, events or not. */
  folders: 60_000,
  /** Between two looks of the primary at every file here, of the secondary at its folders. */
  compare: 600_000,
  /** For further events after a first one. */
  coalesce: 3,
  /** Between two looks of the secondary at what events told of there: what is received makes many. */
  edits: 25,
  /** Without an answer while something waits, before it is an alarm. */
  stall: 60_000,
  /** Between two writings of the status while nothing happens: its time tells that the agent lives. */
  sign: 60_000,
  /** Without a change, before wanted state is applied. */
  wanted: 300,
  /** From the start until it is applied for the first time. */
  wantedFirst: 10_000,
  /** Between two looks for kept copies that are old enough to go. */
  prune: 3_600_000,
  /** That a command waits for the connection with the other server. */
  connect: keepalive.reconnect * 1000,
});
type Timing = ReturnType<typeof usualTiming>;

export type AgentOptions = {
  readonly signal: AbortSignal;
  /** Takes one line; the journal adds the time. */
  readonly log: (line: string) => void;
  /** A session with the other server's agent. */
  readonly login?: (host: Host, link: Link) => Promise<Session>;
  readonly timing?: Partial<Timing>;
  /** Hears that the agent can be asked, and every 15 s that it still works. */
  readonly notify?: Pick<Notifier, 'ready' | 'alive'>;
  /** Runs the programs of data sets; in a rehearsal nothing is run. */
  readonly run?: RunProgram;
  /** Whether an ACD's link goes back to its main address as soon as that answers. */
  readonly returnsToMain?: () => boolean;
};

/** What a command wants of the loop that sends; answered when it is done. */
export type Request =
  | { readonly kind: 'pass' | 'drain' | 'quiet' }
  | { readonly kind: 'difference'; readonly set?: string }
  | { readonly kind: 'release'; readonly set: string }
  | { readonly kind: 'keep'; readonly set: string; readonly keeps: 'primary' | 'secondary' }
  | { readonly kind: 'restored'; readonly tag: string };
type Asked = { readonly request: Request; resolve(value: unknown): void; reject(error: unknown): void };

/** One run of the agent. */
export type Agent = {
  readonly host: Host;
  readonly profile: Profile;
  readonly timing: Timing;
  readonly log: (line: string) => void;
  /** Rung by whatever may end a wait. */
  readonly bell: Bell;
  readonly run: RunProgram;
  readonly sets: ReadonlyMap<string, LiveSet>;
  /** Waits; ends early when the turn is over. */
  pause(milliseconds: number): Promise<void>;
  /** True when the agent is to stop, or the saved pair is no longer the one that this turn began with. */
  over(): boolean;
  /** Logs in to the other server's agent; the session ends with this one. */
  login(link: Link): Promise<Session>;
  /**
   * Asks the loop that sends for something.
   * @param seconds the longest time until it is done; without it as long as the other server is there
   * @throws CmsadmError not-connected, not-in-step after that time, agent-not-running
   */
  ask(request: Request, seconds?: number): Promise<unknown>;
  /** Told by the loop that sends when it begins and ends. */
  setFollowing(following: boolean): void;
  isFollowing(): boolean;
  /** Nobody answers any more. */
  refuseAsked(): void;
  /** What was asked and is not answered yet; whoever takes it answers. */
  takeAsked(): Asked[];
  /** One for each data set of wanted state, rung when it is to be applied. */
  readonly wantedBells: ReadonlyMap<string, Bell>;
  /** The epoch of the pair for which wanted state was last applied: what runs by role follows a change of the roles. */
  readonly appliedFor: { epoch: number };
  /** Files that were edited here although the other server administers, once each. */
  readonly edits: Map<string, Set<string>>;
  /** Data sets whose files of this server's own could not be rendered, and why. */
  readonly unrendered: Map<string, CmsadmError>;
  /** Data sets of which this server, which administers now, could not apply what it took as the secondary, and why. */
  readonly unapplied: Map<string, CmsadmError>;
  /** How often something of a data set came that is to be applied, by name. */
  readonly notes: Map<string, number>;
  /** When the server that administers was last heard over its own session, and under which epoch. */
  readonly heard: { at: number; epoch: number };
  /** How many sessions opened for sending so far, of which only the last may; and the end of what is being taken. */
  readonly senders: {
    opened: number;
    taking: Promise<unknown> /** While one of them lets rsync in. */;
    inBulk: boolean;
  };
} & Teller;

const notRun: RunProgram = async () => ({ stdout: '', stderr: '', exitCode: 0 });

/** The saved pair as it stands; another one ends a turn. */
export const savedText = ({ root }: Host): string => `${readText(root, paths.link)}\n${readText(root, paths.pair)}`;

const agentStops = (): CmsadmError => new CmsadmError('agent-not-running', 'The agent stops.');

const notConnected = (state: string): CmsadmError =>
  new CmsadmError('not-connected', `The other server's agent is not connected: ${state}`, {
    remedy: '`cmsadm sync status` shows both agents; it is tried again every few seconds.',
  });

const notInStep = (seconds: number): CmsadmError =>
  new CmsadmError('not-in-step', `The other server did not have everything within ${seconds} s.`, {
    remedy: '`cmsadm sync status` shows what is in the way.',
  });

/** What the verbs and the loops of an agent share. @param saved the saved pair with which the present turn began */
export function makeAgent(host: Host, profile: Profile, options: AgentOptions, saved: () => string): Agent {
  const { signal, log } = options;
  const login = options.login ?? ((on: Host, link: Link) => loginToAgent(on, link, profile.keepalive));
  const run = options.run ?? (host.system.real ? runProgram : notRun);
  const bell = makeBell();
  // The folders of exports are ours.
  for (const { path, exported } of profile.dataSets) if (exported) makeFolders(host.root, path, 0o700);
  const wantedBells = new Map(
    profile.dataSets.flatMap(({ name, wanted }) => (wanted ? [[name, makeBell()] as const] : [])),
  );
  const ringFor = (set: DataSet) => {
    const concerns = concernsWanted(set);
    return (path?: string): void => {
      bell.ring();
      if (concerns(path)) wantedBells.get(set.name)?.ring();
    };
  };
  const sets = new Map(profile.dataSets.map((set) => [set.name, openLiveSet(host, set, ringFor(set))]));
  const teller = makeTeller(host, sets, log);
  const timing = { ...usualTiming(profile), ...options.timing };
  let asked: Asked[] = [];
  let following = false;
  const over = (): boolean => signal.aborted || savedText(host) !== saved();
  return {
    host,
    profile,
    log,
    bell,
    // What writes a file only reads a database: it is ended with the agent.
    run: (argv, how) => run(argv, how.output === undefined ? how : { ...how, signal }),
    sets,
    edits: new Map(),
    wantedBells,
    appliedFor: { epoch: 0 },
    unrendered: new Map(),
    unapplied: new Map(),
    notes: new Map(),
    heard: { at: Number.NEGATIVE_INFINITY, epoch: 0 },
    senders: { opened: 0, taking: Promise.resolve(), inBulk: false },
    timing,
    over,
    ...teller,
    pause: async (milliseconds) => {
      const end = performance.now() + milliseconds;
      while (!over() && performance.now() < end) await bell.wait(end - performance.now());
    },
    // No race with one promise of the whole run: that would hold every session, and every failure, as long as it runs.
    login: (link) =>
      new Promise((resolve, reject) => {
        const stop = (): void => reject(agentStops());
        if (signal.aborted) return stop();
        signal.addEventListener('abort', stop, { once: true });
        login(host, link)
          .finally(() => signal.removeEventListener('abort', stop))
          .then((session) => {
            if (signal.aborted) return session.close();
            signal.addEventListener('abort', session.close, { once: true });
            void session.closed.then(() => signal.removeEventListener('abort', session.close));
            resolve(session);
          }, reject);
      }),
    ask: (request, seconds) =>
      new Promise((resolve, reject) => {
        const one: Asked = {
          request,
          resolve: (value) => settle(() => resolve(value)),
          reject: (error) => settle(() => reject(error)),
        };
        const settle = (told: () => void): void => {
          clearInterval(connected);
          clearTimeout(late);
          asked = asked.filter((other) => other !== one);
          told();
        };
        // A long pass keeps others waiting; a server that is away does not.
        const connected = setInterval(() => {
          if (!following) one.reject(notConnected(teller.status().state));
        }, timing.connect);
        const late =
          seconds === undefined ? undefined : setTimeout(() => one.reject(notInStep(seconds)), seconds * 1000);
        asked.push(one);
        bell.ring();
      }),
    setFollowing: (now) => {
      following = now;
    },
    isFollowing: () => following,
    refuseAsked: () => {
      for (const { reject } of asked) reject(agentStops());
    },
    takeAsked: () => {
      const taken = asked;
      asked = [];
      return taken;
    },
  };
}
