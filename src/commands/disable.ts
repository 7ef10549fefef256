import { isEmpty } from '../change/change.ts';
import { runAlone, runChange, type Sides, withLocks } from '../change/coordinator.ts';
import { CmsadmError, exitCodes } from '../errors.ts';
import { reviewServer } from '../ha/review.ts';
import { type DisablePlan, planDisable } from '../ha/undo.ts';
import { clearAlarms } from '../pair/alarms.ts';
import { transactionId } from '../pair/tag.ts';
import { during } from '../report.ts';
import { lookForOther, sameName } from './activate.ts';
import type { Peer } from './contact.ts';
import {
  type CommandContext,
  type CommandOutcome,
  confirmed,
  declined,
  type Given,
  requireSomebody,
  settleAnswers,
} from './context.ts';
import { factsOfBoth, linksOf, type OwnStanding, ownStanding, peerOrAdvice } from './pair-of-servers.ts';
import { disableParameters } from './parameters.ts';
import { lockPlace, refuseIfBusy, resultOf, reviewFacts, runOf } from './run-plan.ts';
import { settleFirst } from './settle-first.ts';

/** Disable HA: both become single servers again; tagged backups stay. */
export async function disable(context: CommandContext, given: Given): Promise<CommandOutcome> {
  requireSomebody(context);
  await settleFirst(context);
  const own = await ownStanding(context);
  const alone = given[disableParameters.alone.name] !== undefined;
  const leaves = (text: string): boolean => context.ask !== undefined && ['', 'q'].includes(text.trim());
  const { [disableParameters.peer.name]: peerName } = await settleAnswers(
    [
      {
        parameter: disableParameters.peer,
        check: (text) => (leaves(text) ? 'q' : sameName(text, own.other.fqdn)),
      },
    ],
    given,
    context,
  );
  if (peerName === 'q') return declined(context, 'disable');
  if (alone) {
    await refuseIfOtherAnswers(context, own);
    return disableAlone(context, own);
  }
  const peer = await peerOrAdvice(
    context,
    own,
    `Bring it back, or, if it is gone for good: cmsadm config_HA disable --alone.`,
  );
  try {
    return await disableBoth(context, own, peer);
  } finally {
    peer.session.close();
  }
}

async function refuseIfOtherAnswers(context: CommandContext, own: OwnStanding): Promise<void> {
  if ((await lookForOther(context, own)) === 'answers')
    throw new CmsadmError(
      'peer-answers',
      `${own.other.fqdn} answers; ending the pair on one server only would leave it half.`,
      {
        server: own.other.fqdn,
        remedy: 'End it on both: cmsadm config_HA disable.',
      },
    );
}

async function disableBoth(context: CommandContext, own: OwnStanding, peer: Peer): Promise<CommandOutcome> {
  const facts = await during(context.report, 'Reading the facts of both servers', () => factsOfBoth(own, peer));
  const names = { local: own.link.self.fqdn, peer: own.other.fqdn };
  await refuseIfBusy(own.local, names.local);
  await refuseIfBusy(peer.server, names.peer);
  const links = linksOf(facts);
  const run = runOf(context);
  const plan = {
    local: planDisable(facts.local, names.local, links.local, context.profile, run),
    peer: planDisable(facts.peer, names.peer, links.peer, context.profile, run),
  };
  const review = {
    operation: 'disable HA',
    tag: run.tag,
    servers: [
      reviewServer(
        { name: names.local, address: own.link.self.address, becomes: 'a single server' },
        facts.local,
        [plan.local.change, plan.local.link],
        context.profile,
      ),
      reviewServer(
        { name: names.peer, address: own.other.address, becomes: 'a single server' },
        facts.peer,
        [plan.peer.change, plan.peer.link],
        context.profile,
      ),
    ],
    notes: ['Backups, journal and logs stay.', ...programNotes(names, links)],
  };
  context.report.show({ kind: 'review', review });
  if (context.dryRun)
    return {
      exitCode: exitCodes.pending,
      summary: 'disable: dry run',
      result: { outcome: 'pending', review: reviewFacts(review) },
    };
  if (!(await confirmed(context, () => context.report.show({ kind: 'diff', review }))))
    return declined(context, 'disable');
  const sides = (step: keyof DisablePlan): Sides => ({
    local: { name: names.local, server: own.local, change: plan.local[step] },
    peer: { name: names.peer, server: peer.server, change: plan.peer[step] },
  });
  const places = [lockPlace(names.local, own.local, facts.local), lockPlace(names.peer, peer.server, facts.peer)];
  const claim = { operation: 'disable HA', operator: context.operator, startedOn: names.local };
  await withLocks(places, claim, async () => {
    await runChange(sides('change'), links, context.report, context.stop);
    await endLink(context, sides('link'));
  });
  clearAlarms(context.host.root);
  const servers = [
    resultOf(names.local, 'single', [plan.local.change, plan.local.link], ['our lines are gone']),
    resultOf(names.peer, 'single', [plan.peer.change, plan.peer.link], ['our lines are gone']),
  ];
  context.report.show({
    kind: 'result',
    title: 'HA is disabled; both are single servers.',
    servers,
    notes: [`Backups are named <file>.${run.tag}.`],
  });
  return {
    exitCode: exitCodes.done,
    summary: `disable: done, tag ${run.tag}`,
    result: { outcome: 'done', tag: run.tag, servers },
  };
}

/** Both agree by now that the pair is over; each takes its end of the link down for itself, the other one first. */
async function endLink(context: CommandContext, { local, peer }: Sides): Promise<void> {
  const left: CmsadmError[] = [];
  try {
    for (const side of [peer, local]) left.push(...(await endOf(side, context)));
  } catch (error) {
    if (!(error instanceof CmsadmError)) throw error;
    throw new CmsadmError('link-stays', `HA is disabled, but the link did not end on both servers: ${error.message}`, {
      exitCode: exitCodes.needsPerson,
      details: error.details,
      remedy: `${error.remedy ?? 'Remove the cause.'} Then run \`cmsadm config_HA disable\` again; with --alone where the other server does not let this one in any more.`,
      cause: error,
    });
  }
  const [cause] = left;
  if (!cause) return;
  throw new CmsadmError('link-remains', `HA and the link have ended, but something of it is left: ${cause.message}`, {
    exitCode: exitCodes.needsPerson,
    details: left.flatMap(({ details }) => details),
    remedy: [
      ...new Set(left.flatMap(({ remedy }) => remedy ?? [])),
      'A server that has no `cmsadm` any more is done: it went as the last thing there.',
    ].join(' '),
    cause,
  });
}

/** @returns what failed after this end was decided: it keeps the other end from nothing */
async function endOf(side: Sides['local'], { report }: CommandContext): Promise<CmsadmError[]> {
  const never = { requested: false }; // the decision has fallen
  try {
    await runAlone(side, report, never);
    return [];
  } catch (error) {
    const id = transactionId(side.change.tag, side.change.step);
    const outcome = await side.server.outcome({ id }).catch(() => undefined);
    if (outcome !== 'confirmed' || !(error instanceof CmsadmError)) throw error;
    return [error];
  }
}

const programNotes = (
  names: { local: string; peer: string },
  links: { local: { broughtProgram: boolean }; peer: { broughtProgram: boolean } },
): string[] =>
  (['local', 'peer'] as const).map((side) =>
    links[side].broughtProgram
      ? `The program goes from ${names[side]}, where set up had brought it.`
      : `The program stays on ${names[side]}; ./install --remove takes it away.`,
  );

async function disableAlone(context: CommandContext, own: OwnStanding): Promise<CommandOutcome> {
  const name = own.link.self.fqdn;
  await refuseIfBusy(own.local, name);
  const facts = await own.local.facts({ address: own.other.address, fqdn: own.other.fqdn });
  const { change, link } = planDisable(facts, name, own.link, context.profile, runOf(context));
  // The program that carries this out stays; the operator decides about it.
  const steps = [
    ...(isEmpty(change) ? [] : [change]),
    { ...link, afterwards: { ...link.afterwards, removeProgram: false } },
  ];
  const review = {
    operation: 'disable HA, on this server alone',
    tag: change.tag,
    servers: [
      reviewServer({ name, address: own.link.self.address, becomes: 'a single server' }, facts, steps, context.profile),
    ],
    notes: [
      `${own.other.fqdn} is not asked. If it ever comes back, run \`cmsadm config_HA disable --alone\` there as well.`,
    ],
  };
  context.report.show({ kind: 'review', review });
  if (context.dryRun)
    return {
      exitCode: exitCodes.pending,
      summary: 'disable --alone: dry run',
      result: { outcome: 'pending', review: reviewFacts(review) },
    };
  if (!(await confirmed(context, () => context.report.show({ kind: 'diff', review }))))
    return declined(context, 'disable --alone');
  await withLocks(
    [lockPlace(name, own.local, facts)],
    { operation: 'disable HA', operator: context.operator, startedOn: name },
    async () => {
      await refuseIfOtherAnswers(context, own); // it may have come back while the plan was read
      for (const step of steps) await runAlone({ name, server: own.local, change: step }, context.report, context.stop);
    },
  );
  clearAlarms(context.host.root);
  const servers = [resultOf(name, 'single', steps, ['our lines are gone'])];
  context.report.show({ kind: 'result', title: 'HA is disabled on this server.', servers, notes: [] });
  return {
    exitCode: exitCodes.done,
    summary: `disable --alone: done, tag ${change.tag}`,
    result: { outcome: 'done', tag: change.tag, servers },
  };
}
