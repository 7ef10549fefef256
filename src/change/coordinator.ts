import { afterTheDecision, CmsadmError, exitCodes } from '../errors.ts';
import type { Link } from '../pair/state.ts';
import { type TransactionId, transactionId } from '../pair/tag.ts';
import { during, type Report } from '../report.ts';
import { type Change, isEmpty } from './change.ts';
import type { Part } from './journal.ts';
import type { Claim } from './lock.ts';
import type { Server } from './server.ts';

/** One server of a transaction: how to call it, what it is to do. */
export type Side = { readonly name: string; readonly server: Server; readonly change: Change };
export type Sides = { readonly local: Side; readonly peer: Side };

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

/** Stages, arms and commits both servers: the peer first, then this one. */
async function bringAbout(
  sides: Sides,
  parts: readonly [Part, Part],
  report: Report,
  stop: Interruption,
): Promise<string[]> {
  const { local, peer } = sides;
  const checkpoint = (): void => refuseIfStopped(stop);
  checkpoint();
  const [onPeer, here] = await during(report, 'Preparing the new files on both servers', async () => {
    const [theirs, ours] = await Promise.allSettled([
      peer.server.stage({ change: peer.change, part: parts[1] }),
      local.server.stage({ change: local.change, part: parts[0] }),
    ]);
    if (theirs.status === 'rejected') throw theirs.reason;
    if (ours.status === 'rejected') throw ours.reason;
    return [theirs.value, ours.value] as const;
  });
  checkpoint();
  await during(report, 'Arming the way back on both servers', () =>
    Promise.all([peer, local].map((side) => side.server.arm({ id: idOf(side), seconds: longest(sides) }))),
  );
  checkpoint();
  await during(report, `Changing ${peer.name}`, () => peer.server.commit({ id: idOf(peer) }));
  checkpoint();
  await during(report, `Changing ${local.name}`, () => local.server.commit({ id: idOf(local) }));
  checkpoint();
  await Promise.all(
    [peer, local].map((side) => side.server.arm({ id: idOf(side), seconds: side.change.confirmSeconds })),
  );
  return [peer, local].flatMap((side, i) => (i === 0 ? onPeer : here).unjudged.map((path) => `${side.name}: ${path}`));
}

function refuseIfStopped(stop: Interruption): void {
  if (stop.requested) throw new CmsadmError('interrupted', 'Interrupted.', { exitCode: exitCodes.interrupted });
}

const idOf = (side: Side): TransactionId => transactionId(side.change.tag, side.change.step);

const longest = ({ local, peer }: Sides): number =>
  local.change.services.seconds + peer.change.services.seconds + local.change.confirmSeconds + SLACK_SECONDS;

/**
 * The link: each side takes it back alone until a login is proven in both directions.
 * @throws CmsadmError link-failed after both were put back
 */
export async function runLink(
  sides: Sides,
  links: { readonly local: Link; readonly peer: Link },
  report: Report,
  stop: Interruption,
): Promise<void> {
  try {
    await bringAbout(sides, ['alone', 'alone'], report, stop);
    await proveLogins(sides, links, report);
    await sides.peer.server.confirm({ id: idOf(sides.peer) });
    await sides.local.server.confirm({ id: idOf(sides.local) });
  } catch (error) {
    throw await putBothBack(sides, error, report);
  }
}

async function proveLogins(
  sides: Sides,
  links: { readonly local: Link; readonly peer: Link },
  report: Report,
): Promise<void> {
  await during(report, 'Proving a fresh login in both directions', async () => {
    // Both are waited for: nothing is put back while a proof is still on its way.
    const [there, back] = await Promise.allSettled([
      sides.local.server.proveLogin({ link: links.local }),
      sides.peer.server.proveLogin({ link: links.peer }),
    ]);
    if (there.status === 'rejected') throw there.reason;
    if (back.status === 'rejected') throw back.reason;
  });
}

/**
 * A change on two servers with last-agent commit: the peer's durable `confirmed` is the only decision.
 * @param links how to log in afterwards; undefined where the target state allows no login (disable)
 * @returns files that no program judged
 * @throws CmsadmError put-back (both as before), needs-person (the two could not settle)
 */
export async function runChange(
  sides: Sides,
  links: { readonly local: Link; readonly peer: Link } | undefined,
  report: Report,
  stop: Interruption,
): Promise<string[]> {
  const { local, peer } = sides;
  if (isEmpty(local.change) && isEmpty(peer.change)) return [];
  let unjudged: string[];
  try {
    unjudged = await bringAbout(sides, ['coordinator', 'peer'], report, stop);
    if (links) await proveLogins(sides, links, report);
    refuseIfStopped(stop);
    await local.server.asked({ id: idOf(local) });
  } catch (error) {
    throw await putBothBack(sides, error, report);
  }
  await during(report, 'Confirming on both servers', () => settleAsked(sides, links !== undefined, report));
  return unjudged;
}

/** After `asked` this server does what the peer decided, and nothing else. */
async function settleAsked(sides: Sides, staysLinked: boolean, report: Report): Promise<void> {
  const { local, peer } = sides;
  try {
    await peer.server.confirm({ id: idOf(peer) });
  } catch (error) {
    if (error instanceof CmsadmError && error.code === 'put-back-already')
      throw await putBothBack(sides, error, report);
    throw new CmsadmError(
      'needs-person',
      `${peer.name} did not say whether it confirmed; ${local.name} waits for its answer.`,
      {
        server: peer.name,
        exitCode: exitCodes.needsPerson,
        details: [error instanceof Error ? error.message : String(error)],
        remedy: staysLinked
          ? `When ${peer.name} can be reached again, run \`cmsadm recover\` here: it does what ${peer.name} did.`
          : `Run \`cmsadm recover\` here, which ends the pair on this server; if ${peer.name} still shows it, run \`cmsadm config_HA disable --alone\` there.`,
      },
    );
  }
  await afterTheDecision(`The change is confirmed, but ${local.name} could not finish`, () =>
    local.server.confirm({ id: idOf(local) }),
  );
}

/** Puts both servers back, tells both outcomes, and makes of the first cause the error that ends the run. */
async function putBothBack(sides: Sides, cause: unknown, report: Report): Promise<unknown> {
  const told: string[] = [];
  let whole = true;
  for (const side of [sides.local, sides.peer]) {
    const end = report.step(`Putting ${side.name} back`);
    try {
      const back = await side.server.putBack({ id: idOf(side), by: 'operator' });
      end('done');
      told.push(`${side.name}: as before.`);
      for (const path of back.left) told.push(`${side.name}: ${path} was edited meanwhile and is left as it is.`);
      for (const kept of back.edited) told.push(`${side.name}: an edit made meanwhile is kept in ${kept}.`);
    } catch (error) {
      if (error instanceof CmsadmError && error.code === 'transaction-unknown') {
        end('done');
        told.push(`${side.name}: nothing had been changed.`);
        continue;
      }
      end('failed');
      whole = false;
      told.push(
        `${side.name}: ${error instanceof CmsadmError ? [error.message, ...error.details].join(' ') : String(error)}`,
      );
    }
  }
  if (!(cause instanceof CmsadmError)) {
    // A bug: its stack matters more than anything; what was put back stands in the report.
    for (const line of told) report.warn(line);
    return cause;
  }
  const exitCode = !whole
    ? exitCodes.needsPerson
    : cause.code === 'interrupted'
      ? exitCodes.interrupted
      : exitCodes.putBack;
  return new CmsadmError(cause.code, cause.message, {
    exitCode,
    details: [...cause.details, ...told],
    ...(cause.server === undefined ? {} : { server: cause.server }),
    ...(cause.file === undefined ? {} : { file: cause.file }),
    remedy: whole
      ? (cause.remedy ??
        (cause.code === 'interrupted'
          ? 'Run it again when you are ready.'
          : 'Remove the cause and run the command again.'))
      : 'The other server could not be settled from here: it puts itself back when its time is over. Then run `cmsadm recover` on both.',
    cause,
  });
}

/**
 * A change on this server alone: activate, disable --alone.
 * @throws CmsadmError after it was put back
 */
export async function runAlone(side: Side, report: Report, stop: Interruption): Promise<void> {
  const id = idOf(side);
  const checkpoint = (): void => refuseIfStopped(stop);
  try {
    checkpoint();
    await side.server.stage({ change: side.change, part: 'alone' });
    await side.server.arm({ id, seconds: side.change.services.seconds + side.change.confirmSeconds + SLACK_SECONDS });
    checkpoint();
    await during(report, `Changing ${side.name}`, () => side.server.commit({ id }));
    checkpoint();
    await side.server.confirm({ id });
  } catch (error) {
    const end = report.step(`Putting ${side.name} back`);
    const back = await side.server.putBack({ id, by: 'operator' }).then(
      () => true,
      (problem: unknown) => problem instanceof CmsadmError && problem.code === 'transaction-unknown',
    );
    end(back ? 'done' : 'failed');
    if (!(error instanceof CmsadmError)) throw error;
    throw new CmsadmError(error.code, error.message, {
      exitCode: !back
        ? exitCodes.needsPerson
        : error.code === 'interrupted'
          ? exitCodes.interrupted
          : exitCodes.putBack,
      details: error.details,
      remedy: error.remedy ?? 'Remove the cause and run the command again.',
      cause: error,
    });
  }
}
