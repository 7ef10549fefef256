import { callAgent } from '../agent/socket.ts';
import { runChange, withLocks } from '../change/coordinator.ts';
import { afterTheDecision, CmsadmError, exitCodes } from '../errors.ts';
import { reviewServer } from '../ha/review.ts';
import { planReverse } from '../ha/roles.ts';
import type { Profile } from '../profile/schema.ts';
import { during } from '../report.ts';
import { type CommandContext, type CommandOutcome, confirmed, declined, requireSomebody } from './context.ts';
import { factsOfBoth, linksOf, ownStanding, peerOrAdvice, refuseIfNotInStep } from './pair-of-servers.ts';
import { lockPlace, notPrimary, refuseIfBusy, resultOf, reviewFacts, runOf } from './run-plan.ts';
import { settleFirst } from './settle-first.ts';

/**
 * Reverse the roles, on the primary: a last sync, then both servers change their role in one transaction.
 * Source: seeds, "Reversing the primary and secondary server roles".
 */
export async function reverse(context: CommandContext): Promise<CommandOutcome> {
  requireSomebody(context);
  await settleFirst(context);
  const own = await ownStanding(context);
  if (own.role === 'secondary' && own.pair) throw notPrimary('reverse the roles', own.pair.primary.fqdn);
  const peer = await peerOrAdvice(
    context,
    own,
    `Bring ${own.other.fqdn} back, then reverse. If this server is the one that goes down, run \`cmsadm config_HA activate\` on ${own.other.fqdn} instead.`,
  );
  try {
    const facts = await during(context.report, 'Reading the facts of both servers', () => factsOfBoth(own, peer));
    refuseIfNotInStep(facts);
    const names = { local: own.link.self.fqdn, peer: own.other.fqdn };
    await refuseIfBusy(own.local, names.local);
    await refuseIfBusy(peer.server, names.peer);
    const plan = planReverse(facts, context.profile, runOf(context));
    const review = {
      operation: 'reverse roles',
      tag: plan.local.tag,
      servers: [
        reviewServer(
          { name: names.local, address: own.link.self.address, becomes: 'secondary' },
          facts.local,
          [plan.local],
          context.profile,
        ),
        reviewServer(
          { name: names.peer, address: own.other.address, becomes: 'primary' },
          facts.peer,
          [plan.peer],
          context.profile,
        ),
      ],
      notes: [`Administration then happens on ${names.peer}; admin-sync pushes from there.`],
    };
    context.report.show({ kind: 'review', review });
    const told = { review: reviewFacts(review) };
    if (context.dryRun)
      return {
        exitCode: exitCodes.pending,
        summary: 'reverse roles: dry run, changes pending',
        result: { outcome: 'pending', ...told },
      };
    if (!(await confirmed(context, () => context.report.show({ kind: 'diff', review }))))
      return declined(context, 'reverse roles');

    const places = [lockPlace(names.local, own.local, facts.local), lockPlace(names.peer, peer.server, facts.peer)];
    await withLocks(
      places,
      { operation: 'reverse roles', operator: context.operator, startedOn: names.local },
      async () => {
        await during(context.report, `A last sync to ${names.peer}`, () => lastSync(context, names.peer));
        const sides = {
          local: { name: names.local, server: own.local, change: plan.local },
          peer: { name: names.peer, server: peer.server, change: plan.peer },
        };
        await runChange(sides, linksOf(facts), context.report, context.stop);
      },
    );
    const pair = await afterTheDecision('The roles are reversed, but this could not be verified', async () =>
      refuseIfNotInStep(await during(context.report, 'Verifying on both servers', () => factsOfBoth(own, peer))),
    );
    const verified = [`both tell epoch ${pair.epoch}`];
    const servers = [
      resultOf(names.local, 'secondary', [plan.local], verified),
      resultOf(names.peer, 'primary', [plan.peer], verified),
    ];
    context.report.show({
      kind: 'result',
      title: `The roles are reversed: ${pair.primary.fqdn} is primary, ${pair.secondary.fqdn} secondary (epoch ${pair.epoch}).`,
      servers,
      notes: [`To reverse again: cmsadm config_HA reverse, on ${pair.primary.fqdn}`],
    });
    return {
      exitCode: exitCodes.done,
      summary: `reverse roles: done, tag ${plan.local.tag}`,
      result: { outcome: 'done', tag: plan.local.tag, epoch: pair.epoch, servers, ...told },
    };
  } finally {
    peer.session.close();
  }
}

/**
 * How long the agent may take to bring everything over before the roles change, in seconds: what lies in databases is
 * exported and imported once more.
 */
export const drainSeconds = ({ dataSets }: Pick<Profile, 'dataSets'>): number =>
  Math.min(
    3600,
    dataSets.reduce((sum, { exported }) => sum + 2 * (exported?.seconds ?? 0), 60),
  );

/**
 * Everything of this server is on the other one, as the agents' numbers show, or the roles stay.
 * @throws CmsadmError agent-not-running, not-in-step
 */
export async function lastSync({ host, profile }: CommandContext, name: string): Promise<void> {
  if (profile.dataSets.length === 0) return;
  try {
    await callAgent(host, 'syncDrain', { seconds: drainSeconds(profile) });
  } catch (error) {
    if (!(error instanceof CmsadmError)) throw error;
    throw new CmsadmError(error.code, error.message, {
      ...(error.code === 'not-in-step' ? { server: name } : {}),
      details: error.details,
      remedy: `${error.remedy ?? ''} The roles were not touched.`.trim(),
    });
  }
}
