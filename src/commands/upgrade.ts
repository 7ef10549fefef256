import { type Sides, withLocks } from '../change/coordinator.ts';
import { loginToPeer, refuseOtherVersion, remoteServer } from '../change/remote-server.ts';
import { afterTheDecision, CmsadmError, exitCodes } from '../errors.ts';
import type { Review } from '../ha/review.ts';
import { planSwitch, type Release, releaseBefore, upgradeChange } from '../ha/upgrade.ts';
import { type HaPackage, openHaPackage } from '../packages/ha-package.ts';
import { during } from '../report.ts';
import { checkFile } from './checks.ts';
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
import { factsOfBoth, type OwnStanding, ownStanding, peerOrAdvice, refuseIfNotInStep } from './pair-of-servers.ts';
import { setupParameters, upgradeParameters } from './parameters.ts';
import { localReleases, remoteReleases } from './releases.ts';
import { lockPlace, notPrimary, refuseIfBusy, resultOf, reviewFacts, runOf } from './run-plan.ts';
import { settleFirst } from './settle-first.ts';
import { carryOut, namesOf, type Prepared, tidy } from './upgrade-run.ts';

/**
 * Bring both servers to the version of an HA package, on the primary: the new release is unpacked beside the old one on
 * both, then one transaction switches the secondary, then this server; whatever fails puts both back on the old one.
 * With --back the same, to the release before, which is kept.
 */
export async function upgrade(context: CommandContext, given: Given): Promise<CommandOutcome> {
  requireSomebody(context);
  await settleFirst(context);
  const own = await ownStanding(context);
  if (own.role === 'secondary' && own.pair) throw notPrimary('upgrade the pair', own.pair.primary.fqdn);
  const back = given[upgradeParameters.back.name] !== undefined;
  const haPackage = back ? undefined : await askPackage(context, given);
  const peer = await peerOrAdvice(context, own, `Bring ${own.other.fqdn} back, then upgrade: both change together.`);
  try {
    const prepared = await prepare(context, own, peer, haPackage);
    if ('exitCode' in prepared) return prepared;
    return await settle(context, prepared);
  } finally {
    peer.session.close();
  }
}

async function askPackage(context: CommandContext, given: Given): Promise<HaPackage> {
  const opened: HaPackage[] = [];
  const check = async (text: string): Promise<string> => {
    const one = await openHaPackage(checkFile(context.host.root, text), context.profile.trust);
    one.verify();
    opened.push(one);
    return text;
  };
  await settleAnswers([{ parameter: setupParameters.haPackage, check }], given, context);
  const haPackage = opened.at(-1);
  if (!haPackage) throw new Error('the HA package was not opened');
  return haPackage;
}

/** @returns the outcome where there is nothing to do @throws CmsadmError upgrade-refused, locked, not-in-step */
async function prepare(
  context: CommandContext,
  own: OwnStanding,
  peer: Peer,
  haPackage: HaPackage | undefined,
): Promise<Prepared | CommandOutcome> {
  const names = { local: own.link.self.fqdn, peer: own.other.fqdn };
  const pause = (): void => {
    if (context.stop.requested)
      throw new CmsadmError('interrupted', 'Interrupted.', {
        exitCode: exitCodes.interrupted,
        remedy: 'Run it again when you are ready.',
      });
  };
  const releases = {
    local: localReleases(context.host),
    peer: remoteReleases(peer.session, pause),
  };
  const { facts, places } = await during(context.report, 'Reading the facts of both servers', async () => ({
    facts: await factsOfBoth(own, peer),
    places: {
      local: { releases: releases.local, facts: await releases.local.facts() },
      peer: { releases: releases.peer, facts: await releases.peer.facts() },
    },
  }));
  refuseIfNotInStep(facts);
  await refuseIfBusy(own.local, names.local);
  await refuseIfBusy(peer.server, names.peer);
  const to = haPackage ?? releaseBefore(places.local.facts, places.peer.facts);
  const run = runOf(context);
  const change = (side: 'local' | 'peer') =>
    upgradeChange(
      names[side],
      planSwitch(names[side], places[side].facts, to, haPackage === undefined),
      context.profile,
      run,
    );
  const [ours, theirs] = [change('local'), change('peer')];
  if (!ours.program && !theirs.program) return nothingToDo(context, to.version);
  const sides: Sides = {
    local: { name: names.local, server: own.local, change: ours },
    peer: { name: names.peer, server: peer.server, change: theirs },
  };
  const note = haPackage ? `The package is signed by ${haPackage.signer}.` : 'Both servers have kept that release.';
  return { own, peer, facts, places, haPackage, to, sides, review: reviewOf(context, own, sides, to, note) };
}

function nothingToDo(context: CommandContext, version: string): CommandOutcome {
  context.report.line(`Both servers have cmsadm ${version}: nothing to do.`);
  return {
    exitCode: exitCodes.done,
    summary: 'upgrade: nothing to do',
    result: { outcome: 'nothing to do', version },
  };
}

function reviewOf(context: CommandContext, own: OwnStanding, sides: Sides, { version }: Release, note: string): Review {
  const one = (side: 'local' | 'peer', address: string): Review['servers'][number] => {
    const { name, change } = sides[side];
    return {
      name,
      address,
      becomes: change.program ? `cmsadm ${version}, from ${change.program.from}` : `cmsadm ${version}, as it is`,
      services: [
        {
          label: 'admin-sync',
          unit: context.profile.agentUnit,
          how: 'restart',
          because: [`cmsadm ${version}`],
          interruption: 0,
        },
      ],
      files: [],
      interruption: 0,
    };
  };
  return {
    operation: 'upgrade',
    tag: sides.local.change.tag,
    servers: [one('peer', own.other.address), one('local', own.link.self.address)],
    notes: [note, `${sides.peer.name} comes first. If anything fails, both go back to the version that they have.`],
  };
}

async function settle(context: CommandContext, prepared: Prepared): Promise<CommandOutcome> {
  const { review, facts, own, peer, sides } = prepared;
  const told = { version: prepared.to.version, review: reviewFacts(review) };
  context.report.show({ kind: 'review', review });
  if (context.dryRun)
    return {
      exitCode: exitCodes.pending,
      summary: 'upgrade: dry run, changes pending',
      result: { outcome: 'pending', ...told },
    };
  if (!(await confirmed(context, () => context.report.show({ kind: 'diff', review }))))
    return declined(context, 'upgrade');
  const locks = [
    lockPlace(sides.local.name, own.local, facts.local),
    lockPlace(sides.peer.name, peer.server, facts.peer),
  ];
  const claim = { operation: 'upgrade', operator: context.operator, startedOn: sides.local.name };
  return withLocks(locks, claim, async () => {
    await carryOut(context, prepared);
    return afterTheDecision('Both servers were brought to the new version, but this could not be verified', () =>
      finish(context, prepared, told),
    );
  });
}

/** Verify with fresh sessions; then the release before stays, older ones go. */
async function finish(
  context: CommandContext,
  prepared: Prepared,
  told: Readonly<Record<string, unknown>>,
): Promise<CommandOutcome> {
  const { own, sides, places } = prepared;
  const { version } = prepared.to;
  const pair = await during(context.report, 'Verifying on both servers', async () => {
    const fresh = await loginToPeer(context.host, own.link);
    try {
      refuseOtherVersion(fresh, version);
      const { version: found } = await places.local.releases.facts();
      if (found !== version)
        throw new CmsadmError('version-unexpected', `cmsadm ${found} is in use here, not ${version}.`);
      return refuseIfNotInStep(
        await factsOfBoth(own, { ...prepared.peer, server: remoteServer(fresh), session: fresh }),
      );
    } finally {
      fresh.close();
    }
  });
  await tidy(context, prepared, (place, from) => (from === undefined ? namesOf(place) : [from, version]));
  const verified = [`cmsadm ${version} greets`, 'the agent keeps running', `both tell epoch ${pair.epoch}`];
  const { tag } = sides.local.change;
  const servers = [
    resultOf(sides.peer.name, 'secondary', [sides.peer.change], verified),
    resultOf(sides.local.name, 'primary', [sides.local.change], verified),
  ];
  context.report.show({
    kind: 'result',
    title: `Both servers run cmsadm ${version}.`,
    servers,
    notes: [
      'The release before stays on each server; to go back: cmsadm config_HA upgrade --back',
      ...(context.ask ? ['Leave this menu and start cmsadm again: what runs here is still the version before.'] : []),
    ],
  });
  return {
    exitCode: exitCodes.done,
    summary: `upgrade: done, cmsadm ${version}, tag ${tag}`,
    result: { outcome: 'done', tag, servers, ...told },
  };
}
