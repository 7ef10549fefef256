// The parts of an agent without its loop: a server that takes what it is sent, and one pass to it.
import { PassThrough } from 'node:stream';
import { makeAgent } from '../../src/agent/agent.ts';
import { openLiveSet } from '../../src/agent/live-set.ts';
import { fullPass, type SetResult } from '../../src/agent/pass.ts';
import { receiveVerbs } from '../../src/agent/receive.ts';
import { CmsadmError } from '../../src/errors.ts';
import { openSession, type Session, serveSession } from '../../src/host/session.ts';
import type { Host } from '../../src/host/system.ts';
import { readPair } from '../../src/pair/state.ts';
import type { Profile } from '../../src/profile/schema.ts';

type Verbs = ReturnType<typeof receiveVerbs>;

/** The receiving verbs of a server, of an agent that does nothing by itself. */
export function lonelyAgent(host: Host, profile: Profile): { readonly verbs: Verbs; another(): Verbs; end(): void } {
  const aborter = new AbortController();
  const login = () => Promise.reject(new CmsadmError('unreachable', 'Nobody there.'));
  const agent = makeAgent(host, profile, { signal: aborter.signal, log: () => {}, login }, () => '');
  return {
    verbs: receiveVerbs(agent),
    /** Those of a further session with the same agent. */
    another: () => receiveVerbs(agent),
    end: () => {
      for (const live of agent.sets.values()) live.close();
      agent.end();
    },
  };
}

/** A session with these verbs, over streams in this process. */
export async function lonelySession(host: Host, profile: Profile): Promise<{ session: Session; end(): void }> {
  const there = new PassThrough();
  const back = new PassThrough();
  const { verbs, end } = lonelyAgent(host, profile);
  void serveSession(there, back, verbs.verbs, 'test').then(() => {
    verbs.end();
    back.end();
  });
  const hangUp = (): void => void there.end();
  const session = await openSession(back, there, 'peer', hangUp);
  return {
    session,
    end: () => {
      hangUp();
      end();
    },
  };
}

/** One full pass of every data set over a session. */
export async function passOver(host: Host, profile: Profile, session: Session): Promise<SetResult[]> {
  const epoch = readPair(host.root)?.epoch ?? 0;
  await session.call('agentOpen', { epoch });
  let seq = 0;
  const next = (): number => {
    seq += 1;
    return seq;
  };
  const results: SetResult[] = [];
  for (const set of profile.dataSets) {
    const live = openLiveSet(host, set, () => {});
    try {
      results.push(
        await fullPass(
          { session, epoch, next, acknowledged: () => {}, brought: () => {}, over: () => {} },
          live,
          'nothing',
        ),
      );
    } finally {
      live.close();
    }
  }
  return results;
}
