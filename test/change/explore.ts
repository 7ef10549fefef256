// Walks through every state of the model that can be reached, and judges each of them.
import type { Where } from '../../src/change/transitions.ts';
import { firstState, type Play, type Rules, type State, type Step } from './model.ts';
import { steps } from './model-steps.ts';

export type Explored = {
  readonly states: number;
  readonly transitions: number;
  /** What is wrong, and by which steps one comes there; undefined if nothing is. */
  readonly violation: { readonly what: string; readonly trace: readonly string[] } | undefined;
};

const wheres = ['local', 'peer'] as const;

/** Every reachable state, breadth first, so that a trace is as short as can be. Stops at the first violation. */
export function explore(rules: Rules, play: Play): Explored {
  const first = firstState(rules, play);
  const keys = new Map<string, { readonly from: string | undefined; readonly by: string }>();
  let states: { readonly key: string; readonly state: State }[] = [{ key: keyOf(first), state: first }];
  keys.set(keyOf(first), { from: undefined, by: 'the beginning' });
  let transitions = 0;
  // Many states differ in what a crash wipes out: recover finds the same in them.
  const stuck = new Map<string, string | undefined>();
  const stuckIn = (state: State): string | undefined => {
    const key = `${diskKey(state.local)}|${diskKey(state.peer)}`;
    if (!stuck.has(key)) stuck.set(key, stuckAt(rules, play, calmed(state)));
    return stuck.get(key);
  };
  const trace = (key: string): string[] => {
    const steps: string[] = [];
    for (let at = keys.get(key); at?.from !== undefined; at = keys.get(at.from)) steps.unshift(at.by);
    return steps;
  };
  const found = (what: string, key: string, more: readonly string[] = []): Explored => ({
    states: keys.size,
    transitions,
    violation: { what, trace: [...trace(key), ...more] },
  });
  while (states.length > 0) {
    const next: typeof states = [];
    for (const { key, state } of states) {
      const wrong = wrongWith(play, state) ?? stuckIn(state);
      if (wrong !== undefined) return found(wrong, key);
      const after = steps(rules, play, state);
      if (state.run.alive && !after.some(({ sort }) => sort === 'program')) return found('the run hangs', key);
      for (const step of after) {
        transitions += 1;
        const bad = wrongStep(state, step);
        if (bad !== undefined) return found(bad, key, [step.name]);
        const to = keyOf(step.to);
        if (keys.has(to)) continue;
        keys.set(to, { from: key, by: step.name });
        next.push({ key: to, state: step.to });
      }
    }
    states = next;
  }
  return { states: keys.size, transitions, violation: undefined };
}

/** The name of a state: all that it says, written out, because this is asked half a million times. */
function keyOf({ local, peer, run, worker, session, net, wire }: State): string {
  const message = wire === undefined ? '' : 'ask' in wire ? `?${wire.ask}` : wire.answer;
  const program = `${run.alive}${run.move}${run.mode},${run.local},${run.peer},${run.said}`;
  return `${serverKey(local)}|${serverKey(peer)}|${program}|${worker.alive}${worker.doing}|${session}${net}${message}`;
}

/** What a crash leaves of a server. */
const diskKey = ({ staged, files, ruling, finished }: State['local']): string =>
  `${staged}${files}${ruling}${finished}`;

const serverKey = ({ up, staged, files, ruling, finished, armed, heard }: State['local']): string =>
  `${up}${staged}${files}${ruling}${finished}${armed}${heard}`;

/** What may never be, whatever happened before. */
function wrongWith(play: Play, { local, peer, run }: State): string | undefined {
  for (const where of wheres) {
    const here = { local, peer }[where];
    if (here.finished && here.files !== (here.ruling === 'confirmed' ? 'planned' : 'before'))
      return `${where} is ${here.ruling}, and its files are ${here.files}`;
  }
  const ends = [local.ruling, peer.ruling];
  if (play.kind === 'change') {
    if (ends.includes('confirmed') && ends.includes('put-back')) return 'one is confirmed, the other put back';
    if (local.ruling === 'confirmed' && peer.ruling !== 'confirmed') return 'the coordinator came before its peer';
  }
  if (run.said === 'done' && acting(play).some((where) => !isDone({ local, peer }[where])))
    return 'the run says done, and it is not';
  if (run.said === 'all as before' && acting(play).some((where) => !isBefore({ local, peer }[where])))
    return 'the run says that all is as before, and it is not';
  return undefined;
}

const acting = ({ kind, aloneOn }: Play): readonly Where[] => (kind === 'alone' ? [aloneOn] : wheres);
const isDone = (one: State['local']): boolean => one.ruling === 'confirmed' && one.finished;
const isBefore = (one: State['local']): boolean => one.ruling !== 'confirmed' && one.files === 'before';

/** A decision never changes, and only `asked` becomes one. */
function wrongStep(from: State, { to }: Step): string | undefined {
  for (const where of wheres) {
    const [was, is] = [from[where].ruling, to[where].ruling];
    if (was !== is && was !== undefined && was !== 'asked')
      return `${where} decided ${was}, and now ${is ?? 'nothing'}`;
    if (from[where].finished && !to[where].finished) return `${where} was finished, and is not`;
    if (was === 'confirmed' && from[where].files === 'planned' && to[where].files !== 'planned')
      return `${where} goes back after it confirmed`;
  }
  return undefined;
}

/** Both servers up and talking, and the run dead. */
const calmed = ({ local, peer }: State): State => ({
  ...{ net: true, session: false, wire: undefined },
  run: { alive: false, move: 0, mode: 'over', local: 'done', peer: 'done', said: 'nothing' },
  worker: { alive: false, doing: undefined },
  local: { ...local, up: true, armed: false, heard: undefined },
  peer: { ...peer, up: true, armed: false, heard: undefined },
});

/** Whatever happened: recover on both, in either order, ends it. */
function stuckAt(rules: Rules, play: Play, calm: State): string | undefined {
  for (const order of [wheres, ['peer', 'local'] as const]) {
    let now = calm;
    for (const where of [...order, ...order]) now = recovered(rules, play, now, where);
    const [a, b] = [now.local, now.peer];
    if ([a, b].some((one) => one.staged && !one.finished)) return `recover leaves it open (${order.join(', ')} first)`;
    if (play.kind === 'change' && a.files !== b.files) return 'recover leaves the two different';
  }
  return undefined;
}

function recovered(rules: Rules, play: Play, state: State, where: Where): State {
  let now = state;
  for (let tries = 0; tries < 6; tries += 1) {
    const mine = steps(rules, play, now).find(({ sort, name }) => sort === 'settle' && name.includes(where));
    if (!mine) break;
    now = mine.to;
  }
  return now;
}
