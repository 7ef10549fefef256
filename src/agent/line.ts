import type { Session } from '../host/session.ts';
import type { Agent } from './agent.ts';
import type { Line } from './send.ts';

/** The line to the other server, which tells the agent what goes over it and that answers come. */
export function makeLine(agent: Agent, session: Session, epoch: number): Line {
  let seq = agent.status().seq;
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
    busy: new Map(),
    next: () => {
      seq += 1;
      agent.tell({ seq });
      return seq;
    },
    acknowledged: (number, set) => {
      agent.acknowledged(set);
      agent.tell({ acked: number });
    },
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
