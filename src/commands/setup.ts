import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Change, isEmpty } from '../change/change.ts';
import { runChange, runLink, type Sides, withLocks } from '../change/coordinator.ts';
import type { Server as ServerVerbs } from '../change/server.ts';
import { afterTheDecision, CmsadmError, exitCodes } from '../errors.ts';
import type { BothFacts, SetupAnswers, UnitTexts } from '../ha/answers.ts';
import { failed, preflight, toConfirm } from '../ha/preflight.ts';
import { type Review, reviewServer } from '../ha/review.ts';
import { planSetup, type SetupInputs, type SetupPlan } from '../ha/setup.ts';
import { readText } from '../host/root.ts';
import { type Facts, fileOf } from '../pair/facts.ts';
import { paths, readLink } from '../pair/state.ts';
import { during } from '../report.ts';
import { linkedPeer, type Peer, reachPeer } from './contact.ts';
import {
  type CommandContext,
  type CommandOutcome,
  confirmed,
  declined,
  type Given,
  requireSomebody,
  usage,
} from './context.ts';
import { overrideParameters } from './parameters.ts';
import { localContextServer, lockPlace, resultOf, reviewFacts, runOf } from './run-plan.ts';
import { settleFirst } from './settle-first.ts';
import { type Asked, askAnswers, withTimeZones } from './setup-answers.ts';
import { bothFacts, findings, latencyOf, refusedByPreflight, refuseOtherPairs } from './setup-preflight.ts';
import type { Opened } from './setup-questions.ts';

/** Everything that is known when the operator is asked for his `y`. */
export type Prepared = {
  readonly local: ServerVerbs;
  readonly peer: Peer;
  readonly facts: BothFacts;
  readonly answers: SetupAnswers;
  readonly inputs: SetupInputs;
  readonly plan: SetupPlan;
};

/**
 * Set up the roles: this server becomes the primary, the named one the secondary.
 * Source: seeds, "Setting up the primary and secondary server roles".
 */
export async function setUp(context: CommandContext, given: Given): Promise<CommandOutcome> {
  if (given[overrideParameters.jumpHost.name] !== undefined)
    throw usage(
      'A jump host is refused.',
      'Let the two servers reach each other directly: admin-sync and the heartbeat go straight from one to the other.',
    );
  requireSomebody(context);
  await settleFirst(context);
  const opened: Opened = { package: undefined, licence: undefined };
  const local = localContextServer(context);
  const link = readLink(context.host.root);
  // Without a person there are no pauses: the linked server wakes up while the answers are checked.
  const early = link && !context.ask ? linkedPeer(context, link) : undefined;
  early?.catch(ignored);
  const calls = early ? [early] : [];
  try {
    const answers = await askAnswers(context, given, opened);
    const haPackage = opened.package;
    if (!haPackage) throw new Error('the HA package was not opened');
    const meeting = reachPeer(context, given, answers.peer, link, haPackage, early);
    calls.push(meeting);
    const facts = context.ask ? undefined : local.facts({ address: answers.peer.address, fqdn: answers.peer.fqdn });
    const [peer, ownFacts] = await Promise.all([meeting, facts]);
    return await withPeer(context, given, opened, local, peer, answers, ownFacts);
  } finally {
    for (const call of calls) call.then(({ session }) => session.close(), ignored);
  }
}

// What is wrong with a call is told where its peer is wanted.
const ignored = (): void => undefined;

async function withPeer(
  context: CommandContext,
  given: Given,
  opened: Opened,
  local: ServerVerbs,
  peer: Peer,
  asked: Asked,
  early: Facts | undefined,
): Promise<CommandOutcome> {
  const { report, profile } = context;
  if (!peer.linked) await offerSettings(context, peer);
  const { facts, clockOffset, latency } = await during(report, 'Reading the facts of both servers', async () => ({
    ...(await bothFacts(context, local, peer, asked, early)),
    latency: await latencyOf(peer.session),
  }));
  const answers = await withTimeZones(context, given, facts, {
    ...asked,
    peerPort: peer.port,
    selfPort: facts.local.sshPort,
  });
  refuseOtherPairs(facts, answers);
  const inputs: SetupInputs = {
    profile,
    run: runOf(context),
    units: unitTexts(context.host.programRoot),
    keys: { local: facts.local.pairKey, peer: facts.peer.pairKey },
    settings: peer.linked ? undefined : settingsOf(context),
    bringsProgram: (peer.carried && facts.peer.programDigest === undefined) || facts.peer.programBrought,
  };
  const plan = planSetup(facts, answers, inputs);
  const checks = preflight({
    facts,
    answers,
    profile,
    clockOffset,
    latency,
    problems: plan.problems,
    findings: await findings(opened, local, peer, facts, answers),
  });
  report.show({ kind: 'preflight', checks, toConfirm });
  const review = reviewOf(context, facts, plan, answers);
  const told = { preflight: checks, toConfirm, latencyMs: tenths(latency), review: reviewFacts(review) };
  if (failed(checks)) return refusedByPreflight(checks, told);
  if ([plan.link, plan.change].every((step) => isEmpty(step.local) && isEmpty(step.peer))) {
    report.line('The pair is set up as asked: nothing to do.');
    return {
      exitCode: exitCodes.done,
      summary: 'set up roles: nothing to do',
      result: { outcome: 'nothing to do', ...told },
    };
  }
  report.show({ kind: 'review', review });
  if (context.dryRun)
    return {
      exitCode: exitCodes.pending,
      summary: 'set up roles: dry run, changes pending',
      result: { outcome: 'pending', ...told },
    };
  if (!(await confirmed(context, () => report.show({ kind: 'diff', review }))))
    return declined(context, 'set up roles');
  return carryOut(context, { local, peer, facts, answers, inputs, plan }, told);
}

const tenths = (milliseconds: number): number => Math.round(milliseconds * 10) / 10;

/** What a peer without settings gets, so that both run the same profile. */
const settingsOf = ({ host, profile }: CommandContext): { settings: string; profile: string | undefined } => ({
  settings: readText(host.root, paths.settings) ?? `profile: ${profile.name}\n`,
  profile: readText(host.root, `${paths.siteProfiles}/${profile.name}.yaml`),
});

async function offerSettings(context: CommandContext, peer: Peer): Promise<void> {
  await peer.session.call('useProfile', { profile: context.profile });
}

function reviewOf(context: CommandContext, facts: BothFacts, plan: SetupPlan, answers: SetupAnswers): Review {
  const side = (who: SetupAnswers['self'], becomes: string, ownFacts: BothFacts['local'], changes: readonly Change[]) =>
    reviewServer({ name: who.fqdn, address: who.address, becomes }, ownFacts, changes, context.profile);
  return {
    operation: 'set up roles',
    tag: plan.change.local.tag,
    servers: [
      side(answers.self, 'primary', facts.local, [plan.link.local, plan.change.local]),
      side(answers.peer, 'secondary', facts.peer, [plan.link.peer, plan.change.peer]),
    ],
    notes: answers.ntpServer === null ? [] : [`Time comes from ${answers.ntpServer} too.`],
  };
}

/** Makes the link if there is none, then the change, and verifies both. */
export async function carryOut(
  context: CommandContext,
  prepared: Prepared,
  told: Record<string, unknown>,
): Promise<CommandOutcome> {
  const { plan, answers } = prepared;
  const linked =
    isEmpty(plan.link.local) && isEmpty(plan.link.peer) && prepared.peer.linked
      ? prepared
      : await makeLink(context, prepared);
  try {
    const { local, peer, facts } = linked;
    const reviewed = contentsOf(plan);
    if (contentsOf(linked.plan) !== reviewed)
      throw new CmsadmError(
        'plan-changed',
        'A file was changed while the link was made; nothing but the link was touched.',
        { remedy: 'Run set up again: it shows the new plan.' },
      );
    const places = [
      lockPlace(answers.self.fqdn, local, facts.local),
      lockPlace(answers.peer.fqdn, peer.server, facts.peer),
    ];
    const claim = { operation: 'set up roles', operator: context.operator, startedOn: answers.self.fqdn };
    const unjudged = await withLocks(places, claim, () =>
      runChange(sidesOf(linked, linked.plan.change), linked.plan.links, context.report, context.stop),
    );
    return await afterTheDecision('The change is confirmed, but could not be verified', () =>
      finish(context, linked, plan.link, unjudged, told),
    );
  } finally {
    if (linked !== prepared) linked.peer.session.close();
  }
}

const sidesOf = ({ local, peer, answers }: Prepared, step: SetupPlan['change']): Sides => ({
  local: { name: answers.self.fqdn, server: local, change: step.local },
  peer: { name: answers.peer.fqdn, server: peer.server, change: step.peer },
});

/** The change as it was reviewed, without what only the link could tell. */
const contentsOf = ({ change }: SetupPlan): string =>
  JSON.stringify(
    [change.local, change.peer].map(({ files }) =>
      files.map(({ path, before, after }) => [path, before, after?.content]),
    ),
  );

/** Makes the link, then meets the peer again over it and plans with the facts as they are now. */
async function makeLink(context: CommandContext, prepared: Prepared): Promise<Prepared> {
  const { local, peer, facts, answers, inputs } = prepared;
  const places = [
    lockPlace(answers.self.fqdn, local, facts.local),
    lockPlace(answers.peer.fqdn, peer.server, facts.peer),
  ];
  const claim = { operation: 'set up roles: link', operator: context.operator, startedOn: answers.self.fqdn };
  // The session that proves the login goes on as the one over which the change is made.
  const proven: Peer[] = [];
  const proving: ServerVerbs = {
    ...local,
    proveLogin: async ({ link }) => void proven.push(await linkedPeer(context, link)),
  };
  try {
    await withLocks(places, claim, async () => {
      const keys = { local: await local.key(), peer: await peer.server.key() };
      const plan = planSetup(facts, answers, { ...inputs, keys });
      await during(context.report, `Installing the program on ${answers.peer.fqdn}`, () =>
        peer.server.installProgram(),
      );
      try {
        await runLink(sidesOf({ ...prepared, local: proving }, plan.link), plan.links, context.report, context.stop);
      } catch (error) {
        // Nobody is linked: what was brought goes again. Its failure must not hide the first one.
        await peer.server
          .removeProgram()
          .catch(() => context.report.warn(`The program stays in /opt/cmsadm on ${answers.peer.fqdn}.`));
        throw error;
      }
    });
  } catch (error) {
    for (const { session } of proven) session.close();
    throw error;
  }
  peer.session.close();
  const [again] = proven;
  if (!again) throw new Error('the link was confirmed without a login');
  const { facts: now } = await afterTheDecision('The link stands, but the other server went away', () =>
    bothFacts(context, local, again, answers),
  );
  const keys = { local: now.local.pairKey, peer: now.peer.pairKey };
  return {
    ...prepared,
    peer: again,
    facts: now,
    plan: planSetup(now, answers, { ...inputs, keys, settings: undefined }),
  };
}

/** Verify: read again, plan again, expect nothing to do; then tell what was done. */
async function finish(
  context: CommandContext,
  prepared: Prepared,
  link: SetupPlan['link'],
  unjudged: readonly string[],
  told: Record<string, unknown>,
): Promise<CommandOutcome> {
  const { local, peer, answers, inputs, plan } = prepared;
  const { facts } = await during(context.report, 'Verifying on both servers', () =>
    bothFacts(context, local, peer, answers),
  );
  const again = planSetup(facts, answers, { ...inputs, settings: undefined });
  const left = [
    ...again.link.local.files,
    ...again.link.peer.files,
    ...again.change.local.files,
    ...again.change.peer.files,
  ];
  if (left.length > 0)
    throw new CmsadmError('verify-failed', 'The change is confirmed, but reading it back shows differences.', {
      exitCode: exitCodes.needsPerson,
      details: left.map(({ path }) => path),
      remedy: 'Look at these files on both servers; run set up again to see the difference.',
    });
  const verified = [
    'files as planned',
    'fresh login in both directions',
    ...(fileOf(facts.local, 'hosts') ? ['both servers in /etc/hosts'] : []),
  ];
  const { tag } = plan.change.local;
  const servers = [
    resultOf(answers.self.fqdn, 'primary', [link.local, plan.change.local], verified),
    resultOf(answers.peer.fqdn, 'secondary', [link.peer, plan.change.peer], verified),
  ];
  const { collectionNotes } = await import('./acd-servers.ts');
  const notes = [
    `To undo: cmsadm config_HA restore --tag ${tag}`,
    ...(await collectionNotes(context)),
    ...(unjudged.length > 0 || !context.host.system.real
      ? [`Not judged by the program that reads it: ${unjudged.join(', ') || 'nothing'}`]
      : []),
  ];
  context.report.show({
    kind: 'result',
    title: `The roles are set up: ${answers.self.fqdn} is primary, ${answers.peer.fqdn} secondary (epoch ${plan.pair.epoch}).`,
    servers,
    notes,
  });
  return {
    exitCode: exitCodes.done,
    summary: `set up roles: done, tag ${tag}`,
    result: { outcome: 'done', tag, epoch: plan.pair.epoch, servers, ...told },
  };
}

/** The texts of our own unit files. */
export const unitTexts = (programRoot: string): UnitTexts => ({
  agent: readFileSync(join(programRoot, 'templates/cmsadm-agent.service'), 'latin1'),
  recover: readFileSync(join(programRoot, 'templates/cmsadm-recover.service'), 'latin1'),
});
