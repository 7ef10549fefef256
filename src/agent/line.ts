import type { Session } from '../host/session.ts';
import type { Agent } from './agent.ts';
import type { LiveSet } from './live-set.ts';

/** The line to the other server, with the numbers of what goes over it. */
export type Line = {
  readonly session: Session;
  readonly epoch: number;
  /** The number of the next change, under this epoch. */
  next(): number;
  /** Told of so many changes of a data set that are sent from now on. */
  toSend?(count: number, set: string): void;
  /** Told the number of each change that the other server has on its disk. */
  acknowledged(seq: number, set: string): void;
  /** Told of so many changes that went by another way, and are on the other server's disk: each has its number from now on. */
  brought(count: number, set: string): void;
  /**
   * Nothing is to come of these numbers any more: each was answered, if only by a refusal, or its set is compared anew before
   * anything else of it is sent.
   */
  over(numbers: readonly number[]): void;
  /** By data set: names whose way across takes long. What else changes is sent meanwhile; of these, nothing is. */
  readonly busy?: Map<string, Set<string>>;
  /** Sends what else has changed; to be called now and then while something is busy. */
  readonly meanwhile?: () => Promise<void>;
  /**
   * Sends the folders, then brings many new files at once, where both servers can; the names that it leaves are sent one by
   * one.
   */
  readonly bulk?: (live: LiveSet, paths: readonly string[], sendFolders: () => Promise<Sent>) => Promise<Sent>;
};

/** What was sent of one data set. */
export type Sent = {
  sent: number;
  removed: number;
  bytes: number;
  /** Single names that the other server did not take, and why. */
  readonly problems: string[];
};

/** The line to the other server, which tells the agent what goes over it and that answers come. */
export function makeLine(agent: Agent, session: Session, epoch: number): Line {
  let { seq } = agent.status();
  /** All up to this one are answered; what an earlier session left is compared. */
  let acked = seq;
  const unanswered = new Set<number>();
  const busy = new Map<string, Set<string>>();
  const settle = (numbers: readonly number[]): void => {
    for (const number of numbers) unanswered.delete(number);
    while (acked < seq && !unanswered.has(acked + 1)) acked += 1;
    agent.tell({ acked });
  };
  return {
    session: {
      ...session,
      call: async (verb, args) => {
        const answer = await session.call(verb, args);
        agent.progressed();
        return answer;
      },
    },
    epoch,
    busy,
    toSend: (count, set) => agent.toSend(set, count, busy.size > 0),
    next: () => {
      seq += 1;
      unanswered.add(seq);
      agent.tell({ seq });
      return seq;
    },
    acknowledged: (number, set) => {
      agent.acknowledged(set, 1);
      settle([number]);
    },
    brought: (count, set) => {
      seq += count;
      agent.tell({ seq });
      agent.acknowledged(set, count);
      settle([]);
    },
    over: settle,
  };
}

type Bulk = NonNullable<Line['bulk']>;

/** While rsync carries nothing is acknowledged; it ends by itself if it hangs. */
export const progressing =
  (agent: Agent, bulk: Bulk): Bulk =>
  async (live, paths, sendFolders) => {
    const signs = setInterval(agent.progressed, 1000);
    try {
      return await bulk(live, paths, sendFolders);
    } finally {
      clearInterval(signs);
    }
  };
