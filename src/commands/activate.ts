import { allUndecided } from '../agent/undecided.ts';
import { runAlone, withLocks } from '../change/coordinator.ts';
import { CmsadmError, exitCodes } from '../errors.ts';
import { reviewServer } from '../ha/review.ts';
import { planActivate } from '../ha/roles.ts';
import { codeOf } from '../host/root.ts';
import { raiseAlarm } from '../pair/alarms.ts';
import { linkedPeer } from './contact.ts';
import {
  type CommandContext,
  type CommandOutcome,
  confirmed,
  declined,
  type Given,
  requireSomebody,
  settleAnswers,
} from './context.ts';
import { type OwnStanding, ownStanding } from './pair-of-servers.ts';
import { activateParameters } from './parameters.ts';
import { lockPlace, refuseIfBusy, resultOf, reviewFacts, runOf } from './run-plan.ts';
import { settleFirst } from './settle-first.ts';

/** Activate this server, the secondary, while the primary can't be reached: administration opens here under a new epoch. */
export async function activate(context: CommandContext, given: Given): Promise<CommandOutcome> {
  requireSomebody(context);
  await settleFirst(context);
  const own = await ownStanding(context);
  if (own.role !== 'secondary')
    throw new CmsadmError('not-secondary', 'Only the secondary can be activated; this server is the primary already.', {
      remedy: 'cmsadm config_HA show tells the pair.',
    });
  await refuseUnlessPrimaryAway(context, own);
  const answers = await settleAnswers(
    [
      { parameter: activateParameters.peer, check: (text) => sameName(text, own.other.fqdn) },
      { parameter: activateParameters.reason, check: (text) => notEmpty(text) },
    ],
    given,
    context,
  );
  const name = own.link.self.fqdn;
  await refuseIfBusy(own.local, name);
  const facts = await own.local.facts({ address: own.other.address, fqdn: own.other.fqdn });
  const { change, pair } = planActivate(facts, context.profile, runOf(context));
  const review = {
    operation: 'activate this server',
    tag: change.tag,
    servers: [
      reviewServer({ name, address: own.link.self.address, becomes: 'primary' }, facts, [change], context.profile),
    ],
    notes: [
      `Nobody can tell from here whether ${own.other.fqdn} is dead or cut off. Make sure that nobody administers there.`,
      `When it comes back it becomes the secondary, and what both have changed waits for your decision: cmsadm sync keep.`,
      ...Object.keys(allUndecided(context.host.root)).map(
        (set) => `The data set ${set} waits for a decision; from now on this server's versions of it are administered.`,
      ),
    ],
  };
  context.report.show({ kind: 'review', review });
  if (context.dryRun)
    return {
      exitCode: exitCodes.pending,
      summary: 'activate: dry run',
      result: { outcome: 'pending', review: reviewFacts(review) },
    };
  if (!(await confirmed(context, () => context.report.show({ kind: 'diff', review }))))
    return declined(context, 'activate');
  await withLocks(
    [lockPlace(name, own.local, facts)],
    { operation: 'activate this server', operator: context.operator, startedOn: name },
    async () => {
      await refuseUnlessPrimaryAway(context, own); // it may have come back while the plan was read
      await runAlone({ name, server: own.local, change }, context.report, context.stop);
    },
  );
  raiseAlarm(
    context.host.root,
    `${name} was activated at epoch ${pair.epoch}: ${answers['reason']}`,
    context.host.system.clock(),
  );
  const servers = [resultOf(name, 'primary', [change], [`epoch ${pair.epoch}`])];
  context.report.show({
    kind: 'result',
    title: `${name} is primary now (epoch ${pair.epoch}).`,
    servers,
    notes: [`To give the role back later: cmsadm config_HA reverse, here.`],
  });
  return {
    exitCode: exitCodes.done,
    summary: `activate: done, tag ${change.tag}`,
    result: { outcome: 'done', tag: change.tag, epoch: pair.epoch, servers },
  };
}

/** What a login on the other server of the link says now. */
export async function lookForOther(
  context: CommandContext,
  own: OwnStanding,
): Promise<'answers' | 'away' | CmsadmError> {
  try {
    (await linkedPeer(context, own.link)).session.close();
    return 'answers';
  } catch (error) {
    if (!(error instanceof CmsadmError)) throw error;
    // Only silence means away; a server that refuses us is alive.
    return ['unreachable', 'session-lost'].includes(error.code) && codeOf(error.cause) !== 'ECONNREFUSED'
      ? 'away'
      : error;
  }
}

/** @throws CmsadmError primary-answers, primary-uncertain */
async function refuseUnlessPrimaryAway(context: CommandContext, own: OwnStanding): Promise<void> {
  const found = await lookForOther(context, own);
  if (found === 'away') return;
  if (found === 'answers')
    throw new CmsadmError('primary-answers', `${own.other.fqdn} answers; two servers would administer.`, {
      server: own.other.fqdn,
      remedy: `Reverse the roles there instead: cmsadm config_HA reverse, on ${own.other.fqdn}.`,
    });
  throw new CmsadmError('primary-uncertain', `${own.other.fqdn} is not away: ${found.message}`, {
    server: own.other.fqdn,
    details: found.details,
    remedy: 'Put the link right, or make sure that it is really down (power it off), then activate.',
    cause: found,
  });
}

/** A destructive step wants the name of what it acts against; a refusal does not give it away. @throws CmsadmError answer-refused */
export function sameName(text: string, name: string): string {
  if (text.toLowerCase() === name.toLowerCase()) return name;
  throw new CmsadmError('answer-refused', `${JSON.stringify(text)} is not the name of the other server.`, {
    remedy: 'Its FQDN is meant, as cmsadm config_HA show tells it.',
  });
}

function notEmpty(text: string): string {
  if (text.trim() !== '') return text.trim();
  throw new CmsadmError('answer-refused', 'A reason is needed; it stands in the log.', { remedy: 'Type a few words.' });
}
