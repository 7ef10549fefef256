// What may happen next in the model: the two programs go on, something breaks, or somebody settles.
import type { Answer, Move, Ruling, Where } from '../../src/change/transitions.ts';
import {
  act,
  begin,
  broken,
  type Doing,
  filesAfter,
  isFinal,
  movesOf,
  type Play,
  type Progress,
  type Rules,
  run,
  type ServerState,
  type State,
  type Step,
  server,
  wheres,
  worker,
} from './model.ts';

/** All that may happen next. */
export function steps(rules: Rules, play: Play, state: State): Step[] {
  const found: Step[] = [];
  const may = (sort: Step['sort'], name: string, to: State): void => void found.push({ name, sort, to });
  if (state.run.alive) coordinator(rules, play, state, may);
  if (state.worker.alive) peerProcess(rules, play, state, may);
  faults(state, may);
  for (const where of wheres) settling(rules, play, state, where, may);
  return found;
}

type May = (sort: Step['sort'], name: string, to: State) => void;

function coordinator(rules: Rules, play: Play, state: State, may: May): void {
  const { mode } = state.run;
  const move = movesOf(rules, play)[state.run.move];
  if (mode === 'over') {
    may('program', 'the coordinator ends', broken(run(state, { alive: false })));
    return;
  }
  if (!move) {
    may('program', 'all is done', run(state, { mode: 'over', said: 'done' }));
    return;
  }
  const doing: Doing = mode === 'back' ? 'put back' : move.does;
  const progress = wheres.map((where) => state.run[where]);
  if (progress.every((one) => one === 'done')) {
    if (mode === 'back') may('program', 'both were put back', run(state, { mode: 'over', said: 'all as before' }));
    else may('program', `${move.does} is done`, run(state, begin(rules, play, state.run.move + 1)));
    return;
  }
  if (progress.every((one) => one !== 'to do' && one !== 'under way')) {
    may('program', `${doing} failed`, failed(state, mode, move, play));
    return;
  }
  localPart(rules, state, doing, may);
  remotePart(state, doing, may);
  if (mode === 'on' && doing !== 'confirm' && !progress.includes('under way'))
    may('fault', 'Ctrl-C', run(state, goBack(play)));
}

const goBack = ({ kind, aloneOn }: Play): Partial<State['run']> => ({
  mode: 'back',
  local: kind === 'alone' && aloneOn !== 'local' ? 'done' : 'to do',
  peer: kind === 'alone' && aloneOn !== 'peer' ? 'done' : 'to do',
});

function failed(state: State, mode: 'on' | 'back', move: Move, play: Play): State {
  const gaveUp = run(state, { mode: 'over', said: 'needs a person' });
  if (mode === 'back' || move.failing === 'stands') return gaveUp;
  if (move.failing === 'as the peer decided' && state.run.peer !== 'refused') return gaveUp;
  return run(state, goBack(play));
}

function localPart(rules: Rules, state: State, doing: Doing, may: May): void {
  const now = state.run.local;
  if (now !== 'to do' && now !== 'under way') return;
  const done = act(rules, state, 'local', doing, now === 'to do' ? 'first' : 'second');
  const progress: Progress = done.outcome === 'goes on' ? 'under way' : done.outcome;
  may('program', `${doing} here`, run(done.state, { local: progress }));
  // It fails before it did anything, or after.
  may('fault', `${doing} fails here`, run(state, { local: 'failed' }));
  may('fault', `${doing} fails here, half done`, run(done.state, { local: 'failed' }));
}

function remotePart(state: State, doing: Doing, may: May): void {
  const now = state.run.peer;
  if (now === 'to do' && state.session && state.wire === undefined)
    may('program', `ask the peer: ${doing}`, { ...run(state, { peer: 'under way' }), wire: { ask: doing } });
  if (now === 'under way' && state.wire && 'answer' in state.wire)
    may('program', `the peer answers: ${doing}`, { ...run(state, { peer: state.wire.answer }), wire: undefined });
  if ((now === 'to do' || now === 'under way') && !state.session)
    may('program', 'the session is lost', run(state, { peer: 'failed' }));
}

/** The peer's process: takes a question, does it in one or two halves, answers; without a session it puts back and ends. */
function peerProcess(rules: Rules, play: Play, state: State, may: May): void {
  const { doing } = state.worker;
  const { wire } = state;
  const reply = (to: State, answer: 'done' | 'failed' | 'refused'): State => ({
    ...worker(to, { doing: undefined }),
    wire: to.session ? { answer } : undefined,
  });
  if (doing) {
    const done = act(rules, state, 'peer', doing, 'second');
    may('program', `${doing} there`, reply(done.state, 'done'));
    may('fault', `${doing} fails there, half done`, reply(state, 'failed'));
  } else if (wire && 'ask' in wire) {
    const done = act(rules, state, 'peer', wire.ask, 'first');
    const { outcome } = done;
    if (outcome === 'goes on')
      may('program', `${wire.ask} there`, worker({ ...done.state, wire: undefined }, { doing: wire.ask }));
    else may('program', `${wire.ask} there`, reply(done.state, outcome));
    may('fault', `${wire.ask} fails there`, reply(state, 'failed'));
  } else if (!state.session) {
    const here = state.peer;
    const open = here.staged && !here.finished;
    if (open && !isFinal(here.ruling)) {
      const rule = rules.settlement(rules.partOf[play.kind].peer, here.ruling);
      if (rule === 'put back')
        may(
          'program',
          'the peer sees the loss',
          server(state, 'peer', { ruling: rules.ruled(here.ruling, 'put-back') }),
        );
      return;
    }
    const settled = open ? act(rules, state, 'peer', 'put back', 'second').state : state;
    may('program', 'the peer’s process ends', worker(settled, { alive: false }));
  }
}

function faults(state: State, may: May): void {
  if (state.run.alive) may('fault', 'the coordinator is killed', broken(run(state, { alive: false })));
  if (state.worker.alive)
    may('fault', 'the peer’s process is killed', broken(worker(state, { alive: false, doing: undefined })));
  for (const where of wheres) {
    const off: Partial<ServerState> = { up: false, armed: false, heard: undefined };
    if (!state[where].up) may('fault', `${where} boots`, server(state, where, { up: true }));
    else {
      const dead = where === 'local' ? run(state, { alive: false }) : worker(state, { alive: false, doing: undefined });
      may('fault', `${where} loses power`, broken(server(dead, where, off)));
    }
  }
  if (state.session) may('fault', 'the session breaks', broken(state));
  may('fault', state.net ? 'the cable is pulled' : 'the cable is plugged in', { ...state, net: !state.net });
}

/** Timer, boot or recover on one server: decides by the table, then carries the decision out. */
function settling(rules: Rules, play: Play, state: State, where: Where, may: May): void {
  const here = state[where];
  if (!here.up || !here.staged || here.finished) return;
  const busy = where === 'local' ? state.run.alive : state.worker.alive;
  // While a run lives only its timer may come; the boot and recover find its lock.
  if (busy && !here.armed) return;
  const who = busy ? 'the timer' : 'recover';
  if (isFinal(here.ruling)) {
    if (busy && here.ruling === 'confirmed') return;
    const ended = busy && rules.fences && here.files !== 'planned' ? endRun(state, where) : state;
    const to = server(ended, where, { files: filesAfter(here.ruling), finished: true, armed: false });
    may('settle', `${who} of ${where}: ${here.ruling}`, to);
    return;
  }
  const rule = rules.settlement(rules.partOf[play.kind][where], here.ruling);
  const decideTo = (ruling: Ruling): void =>
    may(
      'settle',
      `${who} of ${where} decides: ${ruling}`,
      server(state, where, { ruling: rules.ruled(here.ruling, ruling) }),
    );
  if (rule === 'put back') decideTo('put-back');
  if (rule === 'confirm') decideTo('confirmed');
  if (rule === 'ask the peer') askPeer(rules, state, where, may);
}

const endRun = (state: State, where: Where): State =>
  broken(where === 'local' ? run(state, { alive: false }) : worker(state, { alive: false, doing: undefined }));

function askPeer(rules: Rules, state: State, where: Where, may: May): void {
  const here = state[where];
  if (here.heard !== undefined)
    may(
      'settle',
      `${where} does what it heard: ${here.heard}`,
      server(state, where, { ruling: rules.ruled(here.ruling, here.heard), heard: undefined }),
    );
  const hear = (answer: Answer): void => {
    const then = rules.afterAnswer(answer);
    const says = (heard: ServerState['heard']): void =>
      may('settle', `${where} hears: ${answer}`, server(state, where, { heard }));
    if (then === 'confirm') says('confirmed');
    if (then === 'put back') says('put-back');
    if (then === 'have the peer put back')
      may(
        'settle',
        `${where} has its peer put back`,
        server(state, 'peer', { ruling: rules.ruled(state.peer.ruling, 'put-back') }),
      );
  };
  const { staged, ruling, up } = state.peer;
  if (!state.net || !up) hear('unreachable');
  else hear(!staged ? 'unknown' : ruling === 'confirmed' || ruling === 'put-back' ? ruling : 'undecided');
}
