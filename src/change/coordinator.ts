import { afterTheDecision, CmsadmError, exitCodes } from '../errors.ts';
import type { Link } from '../pair/state.ts';
import { transactionId } from '../pair/tag.ts';
import { during, type Report } from '../report.ts';
import { isEmpty } from './change.ts';
import type { Claim } from './lock.ts';
import { putAllBack, type Side } from './run-failed.ts';
import type { Server } from './server.ts';
import { type Move, partOf, type RunKind, runs, type Where } from './transitions.ts';

export type Sides = { readonly local: Side; readonly peer: Side };
/** How each of the two logs in on the other. */
export type Links = { readonly local: Link; readonly peer: Link };

/** Ctrl-C, before the decision: both are put back, then the run leaves with 130. */
export type Interruption = { readonly requested: boolean };

/** Seconds for renames and proofs, beside the slowest service. */
const SLACK_SECONDS = 60;

/**
 * Takes both locks, the one with the lower host-key fingerprint first wherever the run was started, and gives them back.
 * @throws CmsadmError locked
 */
export async function withLocks<T>(
  servers: readonly { readonly server: Server; readonly name: string; readonly fingerprint: string }[],
  claim: Claim,
  work: () => Promise<T>,
): Promise<T> {
  const ordered = [...servers].sort((a, b) => (a.fingerprint < b.fingerprint ? -1 : 1));
  const held: typeof ordered = [];
  try {
    for (const one of ordered) {
      await one.server.lock(claim);
      held.unshift(one);
    }
    return await work();
  } finally {
    // A server that is gone gives its lock up by itself: its owner is dead.
    await Promise.allSettled(held.map((one) => one.server.unlock()));
  }
}

/**
 * The link: each side takes it back alone until a login is proven in both directions.
 * @throws CmsadmError of the first cause, after both were put back
 */
export async function runLink(sides: Sides, links: Links, report: Report, stop: Interruption): Promise<void> {
  await carryOut('link', sides, links, report, stop);
}

/**
 * A change on two servers with last-agent commit: the peer's durable `confirmed` is the only decision.
 * @returns files that no program judged
 * @throws CmsadmError of the first cause with both as before, needs-person (the two could not settle)
 */
export async function runChange(sides: Sides, links: Links, report: Report, stop: Interruption): Promise<string[]> {
  if (isEmpty(sides.local.change) && isEmpty(sides.peer.change)) return [];
  return carryOut('change', sides, links, report, stop);
}

/**
 * A change of one server for itself: activate, disable --alone, each side of a link that ends.
 * @throws CmsadmError after it was put back
 */
export async function runAlone(side: Side, report: Report, stop: Interruption): Promise<void> {
  await carryOut('alone', { local: side }, undefined, report, stop);
}

type Cast = { readonly local: Side; readonly peer?: Side };

/** Does the moves of a run one after the other; what a failure means stands in the table. */
async function carryOut(
  kind: RunKind,
  cast: Cast,
  links: Links | undefined,
  report: Report,
  stop: Interruption,
): Promise<string[]> {
  const unjudged: string[] = [];
  for (const [done, move] of runs[kind].entries()) {
    const on = move.on.flatMap((where) => {
      const side = cast[where];
      return side ? [{ where, side }] : [];
    });
    const one = ({ where, side }: (typeof on)[number]): Promise<string[]> =>
      doMove(kind, move, where, side, cast, links);
    try {
      // From the first `confirm` on it is too late: the other server may have decided.
      if (stop.requested && move.does !== 'confirm')
        throw new CmsadmError('interrupted', 'Interrupted.', { exitCode: exitCodes.interrupted });
      // All are waited for: nothing is put back while a part of the move is still on its way.
      const outcomes = await toldAs(
        move,
        on.map(({ side }) => side.name),
        report,
        async () => {
          const settled = await Promise.allSettled(on.map(one));
          return settled.map((outcome) => {
            if (outcome.status === 'rejected') throw outcome.reason;
            return outcome.value;
          });
        },
      );
      unjudged.push(...outcomes.flat());
    } catch (error) {
      throw await failed(kind, move, done, cast, error, report);
    }
  }
  return unjudged;
}

/** @returns files that no program judged, each with its server */
async function doMove(
  kind: RunKind,
  move: Move,
  where: Where,
  { name, server, change }: Side,
  cast: Cast,
  links: Links | undefined,
): Promise<string[]> {
  const id = transactionId(change.tag, change.step);
  switch (move.does) {
    case 'stage': {
      const { unjudged } = await server.stage({ change, part: partOf[kind][where] });
      return unjudged.map((path) => (cast.peer ? `${name}: ${path}` : path));
    }
    case 'arm':
      await server.arm({ id, seconds: longest(cast) });
      return [];
    case 'commit':
      await server.commit({ id });
      return [];
    case 'arm to confirm':
      await server.arm({ id, seconds: change.confirmSeconds });
      return [];
    case 'prove':
      if (links) await server.proveLogin({ link: links[where] });
      return [];
    case 'ask':
      await server.asked({ id });
      return [];
    case 'confirm':
      await server.confirm({ id });
      return [];
  }
}

const titles: Partial<Record<Move['does'], (names: string) => string>> = {
  stage: (names) => `Preparing the new files on ${names}`,
  arm: (names) => `Arming the way back on ${names}`,
  commit: (names) => `Changing ${names}`,
  prove: () => 'Proving a fresh login in both directions',
  confirm: (names) => `Confirming on ${names}`,
};

function toldAs<T>({ does }: Move, names: readonly string[], report: Report, work: () => Promise<T>): Promise<T> {
  const title = titles[does];
  return title ? during(report, title(names.length === 2 ? 'both servers' : (names[0] ?? '')), work) : work();
}

/** Seconds that everything may take until the logins are proven. */
const longest = ({ local, peer }: Cast): number =>
  local.change.services.seconds + (peer?.change.services.seconds ?? 0) + local.change.confirmSeconds + SLACK_SECONDS;

/** What the operator is told of a move that failed, after what can be done about it was done. */
async function failed(
  kind: RunKind,
  move: Move,
  done: number,
  cast: Cast,
  error: unknown,
  report: Report,
): Promise<unknown> {
  const { local, peer } = cast;
  const refused = error instanceof CmsadmError && error.code === 'put-back-already';
  if (peer && move.failing === 'as the peer decided' && !refused) return noWord(local, peer, error);
  if (move.failing === 'stands')
    return afterTheDecision(`The change is confirmed, but ${local.name} could not finish`, () =>
      Promise.reject(error),
    ).catch((told: unknown) => told);
  const committed = runs[kind].slice(0, done + 1).filter(({ does }) => does === 'commit');
  const touched = (where: Where): boolean => committed.some(({ on }) => on.includes(where));
  return putAllBack(
    [{ side: local, touched: touched('local') }, ...(peer ? [{ side: peer, touched: touched('peer') }] : [])],
    error,
    longest(cast),
    report,
  );
}

/** After `asked` this server does what the peer decided, and nothing else. */
const noWord = (local: Side, peer: Side, error: unknown): CmsadmError =>
  new CmsadmError(
    'needs-person',
    `${peer.name} did not say whether it confirmed; ${local.name} waits for its answer.`,
    {
      server: peer.name,
      exitCode: exitCodes.needsPerson,
      details: [
        error instanceof Error ? error.message : String(error),
        `${local.name}: as planned, not confirmed. It asks ${peer.name} by itself within ${local.change.confirmSeconds} s, then every minute, and does what that one did.`,
        `${peer.name}: not known from here. As planned if the question came through; else it puts itself back within ${peer.change.confirmSeconds} s.`,
      ],
      remedy: `When ${peer.name} can be reached again, run \`cmsadm recover\` here: it does what ${peer.name} did, and says what that was.`,
      cause: error,
    },
  );
