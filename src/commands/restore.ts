import { type Change, isEmpty } from '../change/change.ts';
import { runAlone, runChange, withLocks } from '../change/coordinator.ts';
import type { TagFacts, Server as Verbs } from '../change/server.ts';
import { CmsadmError, exitCodes } from '../errors.ts';
import { reviewServer } from '../ha/review.ts';
import { refuseUnlessWhole, tagList } from '../ha/tag-list.ts';
import { planRestore } from '../ha/undo.ts';
import { type Pair, parsePair, paths, readLink } from '../pair/state.ts';
import { backupOf, type Tag } from '../pair/tag.ts';
import { during, type TagLine } from '../report.ts';
import { linkedPeer, type Peer } from './contact.ts';
import { type CommandContext, type CommandOutcome, confirmed, declined, type Given } from './context.ts';
import { factsOfBoth, linksOf, type OwnStanding, ownStanding } from './pair-of-servers.ts';
import { tagParameter } from './parameters.ts';
import { administeredTag, restoreAdministered, restoreSingle, settleTag } from './restore-administered.ts';
import { lastSync } from './reverse.ts';
import { lockPlace, notPrimary, refuseIfBusy, resultOf, reviewFacts, runOf } from './run-plan.ts';
import { settleFirst } from './settle-first.ts';

/** Restore a tag on both servers: undoes one change, keeps the link; on the secondary only while the primary is away. */
export async function restore(context: CommandContext, given: Given): Promise<CommandOutcome> {
  // A list only looks.
  if (given[tagParameter.name] !== undefined || context.ask) await settleFirst(context);
  const single = readLink(context.host.root) ? undefined : await restoreSingle(context, given);
  if (single) return single;
  const own = await ownStanding(context);
  const { peer, away } = await peerIfThere(context, own);
  try {
    const tags = await listTags(own, peer);
    context.report.show({ kind: 'tags', tags });
    if (away) context.report.line(`${own.other.fqdn} cannot be asked (${away.message}): so this server knows them.`);
    if (given[tagParameter.name] === undefined && !context.ask)
      return { exitCode: exitCodes.done, summary: 'restore: tags listed', result: { outcome: 'listed', tags } };
    const tag = await settleTag(context, given, tags);
    if (tag === undefined) return declined(context, 'restore');
    const tagged = await administeredTag(own.local, tag, tags);
    if (tagged) return await restoreAdministered(context, tag, tagged, await peer?.server.tag({ tag }));
    if (away && own.role !== 'secondary') throw peerAway(own, away);
    if (peer && own.role === 'secondary' && own.pair)
      throw notPrimary('restore a tag while it is reachable', own.pair.primary.fqdn);
    for (const line of tags) if (line.tag === tag) refuseUnlessWhole(line);
    return peer ? await restoreBoth(context, own, peer, tag) : await restoreAlone(context, own, tag);
  } finally {
    peer?.session.close();
  }
}

async function listTags(own: OwnStanding, peer: Peer | undefined): Promise<TagLine[]> {
  const [ours, theirs] = await Promise.all([own.local.tags(), peer?.server.tags()]);
  return tagList([
    { name: own.link.self.fqdn, tags: ours },
    ...(theirs ? [{ name: own.other.fqdn, tags: theirs }] : []),
  ]);
}

/** The peer, or why it can't be asked. */
async function peerIfThere(
  context: CommandContext,
  own: OwnStanding,
): Promise<{ readonly peer?: Peer; readonly away?: CmsadmError }> {
  try {
    return { peer: await linkedPeer(context, own.link) };
  } catch (error) {
    if (!(error instanceof CmsadmError)) throw error;
    return { away: error };
  }
}

const peerAway = ({ other }: OwnStanding, cause: CmsadmError): CmsadmError =>
  new CmsadmError('peer-away', `${other.fqdn} cannot be reached: ${cause.message}`, {
    server: other.fqdn,
    remedy:
      'A restore changes both servers. Bring the other one back, or end the pair here: cmsadm config_HA disable --alone.',
    cause,
  });

async function tagOf(server: Verbs, name: string, tag: Tag): Promise<TagFacts> {
  const found = await server.tag({ tag });
  if (found) return found;
  throw new CmsadmError('tag-unknown', `${name} has no tag ${tag}.`, {
    server: name,
    remedy: `Restore it on one server by hand: the backups are named ${backupOf('<file>', tag)}.`,
  });
}

async function restoreBoth(context: CommandContext, own: OwnStanding, peer: Peer, tag: Tag): Promise<CommandOutcome> {
  const facts = await during(context.report, 'Reading the facts of both servers', () => factsOfBoth(own, peer));
  const names = { local: own.link.self.fqdn, peer: own.other.fqdn };
  await refuseIfBusy(own.local, names.local);
  await refuseIfBusy(peer.server, names.peer);
  const [ours, theirs] = await Promise.all([tagOf(own.local, names.local, tag), tagOf(peer.server, names.peer, tag)]);
  const run = runOf(context);
  const epoch = Math.max(facts.local.epoch, facts.peer.epoch) + 1;
  const plan = {
    local: planRestore(facts.local, names.local, ours, epoch, context.profile, run),
    peer: planRestore(facts.peer, names.peer, theirs, epoch, context.profile, run),
  };
  if (isEmpty(plan.local) && isEmpty(plan.peer)) {
    context.report.line('Both servers stand as before that change: nothing to do.');
    return { exitCode: exitCodes.done, summary: `restore ${tag}: nothing to do`, result: { outcome: 'nothing to do' } };
  }
  const review = {
    operation: `restore ${tag}`,
    tag: run.tag,
    servers: [
      reviewServer(
        { name: names.local, address: own.link.self.address, becomes: 'as before' },
        facts.local,
        [plan.local],
        context.profile,
      ),
      reviewServer(
        { name: names.peer, address: own.other.address, becomes: 'as before' },
        facts.peer,
        [plan.peer],
        context.profile,
      ),
    ],
    notes: [
      'The link between the servers stays; `cmsadm config_HA disable` ends it.',
      `What is replaced now is kept under the new tag and can be restored.`,
    ],
  };
  context.report.show({ kind: 'review', review });
  const told = { review: reviewFacts(review) };
  if (context.dryRun)
    return {
      exitCode: exitCodes.pending,
      summary: `restore ${tag}: dry run, changes pending`,
      result: { outcome: 'pending', ...told },
    };
  if (!(await confirmed(context, () => context.report.show({ kind: 'diff', review }))))
    return declined(context, `restore ${tag}`);
  const places = [lockPlace(names.local, own.local, facts.local), lockPlace(names.peer, peer.server, facts.peer)];
  const sides = {
    local: { name: names.local, server: own.local, change: plan.local },
    peer: { name: names.peer, server: peer.server, change: plan.peer },
  };
  await withLocks(
    places,
    { operation: `restore ${tag}`, operator: context.operator, startedOn: names.local },
    async () => {
      // A restore that hands the role over is a reversal: nothing that was administered here may be lost by it.
      const primary = pairAfter(plan.local)?.primary.address;
      if (own.role === 'primary' && primary !== undefined && primary !== own.link.self.address)
        await during(context.report, `A last sync to ${names.peer}`, () => lastSync(context, names.peer));
      return runChange(sides, linksOf(facts), context.report, context.stop);
    },
  );
  const servers = [
    resultOf(names.local, undefined, [plan.local], ['files as before']),
    resultOf(names.peer, undefined, [plan.peer], ['files as before']),
  ];
  context.report.show({
    kind: 'result',
    title: `Restored ${tag} on both servers (epoch ${epoch}).`,
    servers,
    notes: [`To take this back: cmsadm config_HA restore --tag ${run.tag}`],
  });
  return {
    exitCode: exitCodes.done,
    summary: `restore ${tag}: done, tag ${run.tag}`,
    result: { outcome: 'done', tag: run.tag, restored: tag, epoch, servers, ...told },
  };
}

async function restoreAlone(context: CommandContext, own: OwnStanding, tag: Tag): Promise<CommandOutcome> {
  const name = own.link.self.fqdn;
  await refuseIfBusy(own.local, name);
  const facts = await own.local.facts({ address: own.other.address, fqdn: own.other.fqdn });
  const run = runOf(context);
  const change = planRestore(facts, name, await tagOf(own.local, name, tag), facts.epoch + 1, context.profile, run);
  refuseIfActivating(change, own);
  const review = {
    operation: `restore ${tag}, on this server alone`,
    tag: run.tag,
    servers: [
      reviewServer({ name, address: own.link.self.address, becomes: 'as before' }, facts, [change], context.profile),
    ],
    notes: [`${own.other.fqdn} cannot be reached and stays as it is.`],
  };
  context.report.show({ kind: 'review', review });
  if (context.dryRun)
    return {
      exitCode: exitCodes.pending,
      summary: `restore ${tag} alone: dry run`,
      result: { outcome: 'pending', review: reviewFacts(review) },
    };
  if (!(await confirmed(context, () => context.report.show({ kind: 'diff', review }))))
    return declined(context, `restore ${tag}`);
  await withLocks(
    [lockPlace(name, own.local, facts)],
    { operation: `restore ${tag}`, operator: context.operator, startedOn: name },
    () => runAlone({ name, server: own.local, change }, context.report, context.stop),
  );
  const servers = [resultOf(name, undefined, [change], ['files as before'])];
  context.report.show({ kind: 'result', title: `Restored ${tag} on this server.`, servers, notes: [] });
  return {
    exitCode: exitCodes.done,
    summary: `restore ${tag} alone: done, tag ${run.tag}`,
    result: { outcome: 'done', tag: run.tag, restored: tag, servers },
  };
}

/** The pair that this server would tell after the change; undefined where it stays or goes. */
function pairAfter(change: Change): Pair | undefined {
  const after = change.files.find(({ path }) => path === paths.pair)?.after;
  return after ? parsePair(after.content) : undefined;
}

// Alone, only `activate` makes a primary: it asks for the name of the one that is away, and for a reason.
function refuseIfActivating(change: Change, own: OwnStanding): void {
  if (pairAfter(change)?.primary.address !== own.link.self.address || own.role === 'primary') return;
  throw new CmsadmError('would-activate', 'That tag would make this server the primary while the other one is away.', {
    remedy: 'cmsadm config_HA activate, if the primary is really down.',
  });
}
