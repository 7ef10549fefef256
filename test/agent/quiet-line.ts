import type { Line } from '../../src/agent/line.ts';
import type { Session } from '../../src/host/session.ts';

/** A line that counts its changes and tells nobody. */
export function quietLine(session: Session): Line {
  let seq = 0;
  return {
    session,
    epoch: 1,
    next: () => {
      seq += 1;
      return seq;
    },
    acknowledged: () => {},
    brought: () => {},
    over: () => {},
  };
}
