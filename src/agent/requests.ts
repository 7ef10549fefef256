import { CmsadmError } from '../errors.ts';
import type { PassReport, SetDifference } from '../pair/sync-reports.ts';
import type { Request } from './agent.ts';
import { exportSet } from './export.ts';
import { takeTheirs } from './keep-theirs.ts';
import { difference, ending } from './pass.ts';
import { endHold, readPause, refuseStopped } from './paused.ts';
import type { Sender } from './sender.ts';
import { askStanding } from './standing.ts';

/**
 * Answers what commands asked meanwhile; what ends the session ends all questions with it.
 * @throws what ends the session
 */
export async function answerAll(sender: Sender): Promise<void> {
  let ended: { readonly error: unknown } | undefined;
  for (const { request, resolve, reject } of sender.agent.takeAsked())
    try {
      if (ended) throw ended.error;
      resolve(await answer(sender, request));
    } catch (error) {
      reject(error);
      if (!(error instanceof CmsadmError) || ending.includes(error.code)) ended = { error };
    }
  if (ended) throw ended.error;
}

/** @throws CmsadmError sync-paused, sync-held, and what the single answers tell */
async function answer(sender: Sender, request: Request): Promise<unknown> {
  // Between two pieces of work: nothing is under way.
  if (request.kind === 'quiet') return null;
  if (request.kind === 'difference') return differences(sender, request.set);
  if (request.kind === 'restored') return afterRestore(sender, request.tag);
  refuseStopped(sender.agent.host.root);
  if (request.kind === 'keep') return keep(sender, request);
  if (request.kind === 'release') return sender.passAll(request.set);
  // What changed in a database since its last export is to be across as well.
  await sender.exportAll(true);
  return request.kind === 'pass' ? sender.passAll() : drained(sender);
}

async function differences({ agent, line }: Sender, set: string | undefined): Promise<SetDifference[]> {
  const found: SetDifference[] = [];
  for (const live of agent.sets.values())
    if (set === undefined || set === live.set.name) found.push(await difference(line, live));
  return found;
}

/** Ends the hold of a restore by a full pass. @throws CmsadmError sync-paused, not-in-step where that was not whole */
async function afterRestore(sender: Sender, tag: string): Promise<PassReport[]> {
  const { agent } = sender;
  const { host } = agent;
  if (readPause(host.root)) refuseStopped(host.root);
  await sender.exportAll(true);
  const reports = await sender.passOver(agent.sets.values(), () => 'losses', ` after the restore ${tag}`);
  // What waits for a decision is sent after that, and what the guard holds after its release.
  const details = reports.filter(({ ok, set }) => !ok && !sender.waitsForPerson(set)).map(({ why }) => why);
  if (details.length > 0)
    throw new CmsadmError('not-in-step', `The full pass after the restore ${tag} was not whole.`, {
      details,
      remedy: `Put these right, and run it again; until then admin-sync stays held.`,
    });
  endHold(host, tag);
  agent.event('sync-released', `the restore ${tag} has ended with a full pass`);
  return reports;
}

/** Ends that a data set is undecided. @throws CmsadmError not-undecided, and what takeTheirs tells */
async function keep(sender: Sender, { set, keeps }: Extract<Request, { kind: 'keep' }>): Promise<PassReport[]> {
  const { agent, session, pair, line } = sender;
  const live = agent.sets.get(set);
  if (!live || !sender.waits(live))
    throw new CmsadmError('not-undecided', `The data set ${set} waits for no decision.`, {
      remedy: '`cmsadm sync status` shows how each data set stands.',
    });
  if (keeps === 'secondary') {
    // What its own database holds by now is kept as well.
    await exportSet(agent, live.set, undefined);
    await takeTheirs(agent, line, live);
  }
  await session.call('agentDecided', { epoch: pair.epoch, set });
  sender.hearUndecided((await askStanding(session, pair.epoch)).undecided);
  return sender.passOver([live], () => 'nothing', ` after the decision for the versions of ${pair[keeps].fqdn}`);
}

/** The last number that was sent, and acknowledged. @throws CmsadmError not-in-step */
async function drained(sender: Sender): Promise<{ epoch: number; seq: number; acked: number }> {
  await sender.drain();
  const details = sender.troubles();
  const { seq, acked } = sender.agent.status();
  if (details.length === 0 && seq === acked) return { epoch: sender.pair.epoch, seq, acked };
  throw new CmsadmError('not-in-step', 'The other server does not have all administration data.', {
    details,
    remedy: 'Put these right; `cmsadm sync status` shows them.',
  });
}
