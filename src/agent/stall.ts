import type { Host } from '../host/system.ts';
import type { EventId } from '../pair/events.ts';
import { raiseOnce, settleBut } from './standing-alarms.ts';

const head = 'Admin-sync is stalled:';

/** Notices that something waits although nothing comes back from the other server. */
export function makeStall(
  host: Host,
  event: (id: EventId, text: string) => void,
): {
  progressed(): void;
  /** @param state what the agent says is in the way */
  look(isWaiting: boolean, milliseconds: number, state: string): void;
} {
  let progressed: number | undefined;
  let waitingFrom: number | undefined;
  /** Undefined until it is known: an alarm of a run before this one may still stand. */
  let stalled: boolean | undefined;
  const settled = (): void => {
    settleBut(host, [head], undefined);
    if (stalled) event('sync-recovered', 'nothing waits any more, or it is acknowledged again');
    stalled = false;
  };
  return {
    progressed: () => {
      progressed = performance.now();
    },
    look: (isWaiting, milliseconds, state) => {
      const now = performance.now();
      if (isWaiting) waitingFrom ??= now;
      else waitingFrom = undefined;
      const quietFrom = Math.max(waitingFrom ?? now, progressed ?? 0);
      if (waitingFrom !== undefined && now - quietFrom >= milliseconds) {
        if (stalled) return;
        const text = `${head} changes wait, and the other server acknowledged nothing for ${Math.round(milliseconds / 1000)} s (${state}). It goes on by itself as soon as that is over.`;
        settleBut(host, [head], text);
        raiseOnce(host, text);
        stalled = true;
        event('sync-stalled', text);
      } else if (stalled !== false && (!isWaiting || progressed !== undefined)) settled();
    },
  };
}
