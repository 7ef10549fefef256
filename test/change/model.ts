// The two-server transaction as a finite machine: the tables of src/change/transitions.ts, played against every crash,
// reboot, cut, lost message and timer, in every order. Here: what a state is, and what a verb does to a server; model-steps.ts tells what may happen when.
import type { Answer, Move, Part, Ruling, RunKind, Where } from '../../src/change/transitions.ts';

/** What the machine goes by: the tables of the code, or broken ones, to see that the model notices. */
export type Rules = {
  readonly runs: Readonly<Record<RunKind, readonly Move[]>>;
  readonly partOf: Readonly<Record<RunKind, Readonly<Record<Where, Part>>>>;
  readonly ruled: (now: Ruling | undefined, wanted: Ruling) => Ruling;
  readonly settlement: (part: Part, ruling: Ruling | undefined) => 'put back' | 'confirm' | 'ask the peer';
  readonly afterAnswer: (answer: Answer) => 'put back' | 'confirm' | 'have the peer put back' | 'wait';
  /** A way back ends a late run that may still be writing before it touches files. */
  readonly fences: boolean;
};

/** One run: its table, and on which server a run of one server happens. */
export type Play = { readonly kind: RunKind; readonly aloneOn: Where };

export type ServerState = {
  readonly up: boolean;
  /** Its journal has begun. */
  readonly staged: boolean;
  readonly files: 'before' | 'partly' | 'planned';
  readonly ruling: Ruling | undefined;
  /** The decision was carried out and is noted. */
  readonly finished: boolean;
  /** The timer of the way back; a reboot loses it. */
  readonly armed: boolean;
  /** What a settling coordinator heard from its peer; lost with the process. */
  readonly heard: 'confirmed' | 'put-back' | undefined;
};

export type Doing = Move['does'] | 'put back';
/** How far a run is with one server in its present move. */
export type Progress = 'to do' | 'under way' | 'done' | 'failed' | 'refused';

export type State = {
  readonly local: ServerState;
  readonly peer: ServerState;
  /** The coordinating process. */
  readonly run: {
    readonly alive: boolean;
    readonly move: number;
    /** `back`: a move failed, the servers are being put back. */
    readonly mode: 'on' | 'back' | 'over';
    readonly local: Progress;
    readonly peer: Progress;
    /** What the operator is told. */
    readonly said: 'nothing' | 'done' | 'all as before' | 'needs a person';
  };
  /** The peer's process of the session. */
  readonly worker: { readonly alive: boolean; readonly doing: Doing | undefined };
  readonly session: boolean;
  readonly net: boolean;
  /** The one message on its way: a question to the peer, or its answer. */
  readonly wire: { readonly ask: Doing } | { readonly answer: 'done' | 'failed' | 'refused' } | undefined;
};

export type Step = {
  readonly name: string;
  /** `program` goes on by itself, `fault` comes from outside, `settle` is a way back, a boot or an operator's recover. */
  readonly sort: 'program' | 'fault' | 'settle';
  readonly to: State;
};

const fresh: ServerState = {
  ...{ up: true, staged: false, files: 'before', ruling: undefined, finished: false, armed: false, heard: undefined },
} as const;

export const firstState = (rules: Rules, play: Play): State => ({
  local: fresh,
  peer: fresh,
  run: { alive: true, mode: 'on', said: 'nothing', ...begin(rules, play, 0) },
  worker: { alive: true, doing: undefined },
  session: true,
  net: true,
  wire: undefined,
});

export const wheres = ['local', 'peer'] as const;
export const movesOf = (rules: Rules, { kind }: Play): readonly Move[] => rules.runs[kind];

export function begin(rules: Rules, play: Play, move: number): Pick<State['run'], 'move' | 'local' | 'peer'> {
  const on = movesOf(rules, play)[move]?.on.map((where) => (play.kind === 'alone' ? play.aloneOn : where)) ?? [];
  return { move, local: on.includes('local') ? 'to do' : 'done', peer: on.includes('peer') ? 'to do' : 'done' };
}

export const server = (state: State, where: Where, change: Partial<ServerState>): State => ({
  ...state,
  [where]: { ...state[where], ...change },
});
export const run = (state: State, change: Partial<State['run']>): State => ({
  ...state,
  run: { ...state.run, ...change },
});
export const worker = (state: State, change: Partial<State['worker']>): State => ({
  ...state,
  worker: { ...state.worker, ...change },
});
export const broken = (state: State): State => ({ ...state, session: false, wire: undefined });
export const isFinal = (ruling: Ruling | undefined): boolean => ruling === 'confirmed' || ruling === 'put-back';
export const filesAfter = (ruling: Ruling | undefined): ServerState['files'] =>
  ruling === 'confirmed' ? 'planned' : 'before';

/** What a verb does on a server, first half and (where there is one) second half; `undefined`: nothing is left to do. */
export function act(
  rules: Rules,
  state: State,
  where: Where,
  doing: Doing,
  half: 'first' | 'second',
): { state: State; outcome: 'done' | 'refused' | 'goes on' } {
  const here = state[where];
  const decide = (wanted: Ruling): Ruling => rules.ruled(here.ruling, wanted);
  if (half === 'second') {
    if (doing === 'commit') return { state: server(state, where, { files: 'planned' }), outcome: 'done' };
    const files = filesAfter(here.ruling);
    return { state: server(state, where, { files, finished: true, armed: false }), outcome: 'done' };
  }
  switch (doing) {
    case 'stage':
      return { state: server(state, where, { staged: true }), outcome: 'done' };
    case 'arm':
    case 'arm to confirm':
      return { state: server(state, where, { armed: true }), outcome: 'done' };
    case 'commit':
      if (here.ruling !== undefined) return { state, outcome: 'refused' };
      return { state: server(state, where, { files: 'partly' }), outcome: 'goes on' };
    case 'prove':
      return { state, outcome: state.net && state.local.up && state.peer.up ? 'done' : 'refused' };
    case 'ask': {
      const ruling = decide('asked');
      return { state: server(state, where, { ruling }), outcome: ruling === 'asked' ? 'done' : 'refused' };
    }
    case 'confirm':
    case 'put back': {
      const wanted = doing === 'confirm' ? 'confirmed' : 'put-back';
      if (!here.staged) return { state, outcome: doing === 'put back' ? 'done' : 'refused' };
      if (here.finished) return { state, outcome: here.ruling === wanted ? 'done' : 'refused' };
      const ruling = decide(wanted);
      return { state: server(state, where, { ruling }), outcome: ruling === wanted ? 'goes on' : 'refused' };
    }
  }
}
