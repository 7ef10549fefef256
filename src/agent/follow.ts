import { setTimeout as sleep } from 'node:timers/promises';
import type { Session } from '../host/session.ts';
import type { Pair } from '../pair/state.ts';
import type { Agent } from './agent.ts';
import { makePush, type PassResult, pushChanges, type SetResult } from './push.ts';
import { askStanding } from './standing.ts';
import { watchDataSet } from './watch.ts';

/**
 * A full pass over an opened session, then every change as it happens, until the turn is over, the session is lost or
 * the other server has a newer epoch.
 * @throws CmsadmError session-lost, epoch-older, not-secondary, not-paired
 */
export async function follow(agent: Agent, session: Session, pair: Pair): Promise<void> {
  const { host, profile, timing, bell } = agent;
  const push = makePush(host, profile, session, pair.epoch);
  const everything = profile.dataSets.map((set) => set.name);
  const changed = new Set(everything);
  const trouble = new Map<string, string>();
  let since: number | undefined;
  const watches = profile.dataSets.map((set) =>
    watchDataSet(host, set, () => {
      changed.add(set.name);
      since ??= performance.now();
      bell.ring();
    }),
  );
  let lost = false;
  void session.closed.then(() => {
    lost = true;
    bell.ring();
  });

  const pushChanged = async (): Promise<PassResult> => {
    const names = new Set(changed);
    const from = since;
    changed.clear();
    since = undefined;
    // Before the scan: what happens in a folder from now on makes an event, what happened before is scanned.
    for (const watch of watches) watch.refresh();
    const result = await pushChanges(push, names, (queue) => agent.tell({ queue }));
    // A folder that came during the scan was without a watch; look once more.
    for (const [index, watch] of watches.entries()) if (watch.refresh()) changed.add(everything[index] ?? '');
    for (const set of result.sets) trouble.set(set.name, troubleOf(set));
    const told = [...trouble.values()].filter((text) => text !== '');
    agent.tell({
      state: told.length === 0 ? 'in step' : told.join('; '),
      queue: result.sets.reduce((sum, set) => sum + set.problems.length, 0),
      ...(from === undefined ? {} : { lag: Math.round(performance.now() - from) }),
    });
    return result;
  };

  try {
    const { sets } = await pushChanged();
    agent.log(`full pass: ${sets.map(summary).join('; ')}`);
    agent.tell({ lastPass: new Date(host.system.clock()).toISOString() });
    let compared = performance.now();
    let asked = compared;
    while (!agent.over()) {
      const next = Math.min(asked + timing.heartbeat, compared + timing.compare);
      if (changed.size === 0 && !lost) await bell.wait(Math.max(1, next - performance.now()));
      if (agent.over()) return;
      const now = performance.now();
      if (lost || now - asked >= timing.heartbeat) {
        asked = now;
        if ((await askStanding(session, pair.epoch)).epoch > pair.epoch) return;
      }
      if (now - compared >= timing.compare) {
        compared = now;
        for (const name of everything) changed.add(name);
      }
      if (changed.size === 0) continue;
      await sleep(timing.coalesce);
      await pushChanged();
    }
  } finally {
    for (const watch of watches) watch.close();
  }
}

const summary = (set: SetResult): string =>
  `${set.name} ${set.sent} sent, ${set.removed} removed, ${set.bytes} bytes${troubleOf(set) === '' ? '' : ` (${troubleOf(set)})`}`;

function troubleOf(set: SetResult): string {
  if (set.failure) return `${set.name}: ${set.failure.message}`;
  if (set.held) return `${set.name} is held: it is empty here and not on the other server`;
  const [first] = set.problems;
  return first === undefined ? '' : `${set.name}: ${set.problems.length} not taken: ${first}`;
}
