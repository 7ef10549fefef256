import { type AcdsHere, acdsFrom, acdsHere } from '../acd/standing.ts';
import type { Holder } from '../change/end-owner.ts';
import type { Server as Verbs } from '../change/server.ts';
import type { Server } from '../config-files/server.ts';
import { CmsadmError, exitCodes } from '../errors.ts';
import { versionOf } from '../host/program-version.ts';
import type { About, Facts } from '../pair/facts.ts';
import { readLink, roleOf } from '../pair/state.ts';
import type { SyncStatus } from '../pair/sync-status.ts';
import type { PairView } from '../report.ts';
import { linesOrWhy } from './acd-servers.ts';
import { linkedPeer } from './contact.ts';
import type { CommandContext, CommandOutcome } from './context.ts';
import { localContextServer } from './run-plan.ts';

/** Show the pair as each of the two servers sees it. */
export async function show(context: CommandContext): Promise<CommandOutcome> {
  const link = readLink(context.host.root);
  const local = localContextServer(context);
  const views: PairView[] = [];
  const self = link?.self ?? { address: '', fqdn: (await context.host.system.identity()).hostname, hostname: '' };
  const version = versionOf(context.host.programRoot);
  const own = acdsHere(context.host, context.profile);
  views.push(await viewOf(local, version, self, link?.peer ?? { address: '192.0.2.1', fqdn: '' }, own));
  if (link) views.push(await peerView(context, link.peer, link.self));
  context.report.show({ kind: 'pair', views });
  const [first] = views;
  const summary = first?.role ? `show: ${first.role} at epoch ${first.epoch}` : 'show: no pair';
  return { exitCode: exitCodes.done, summary, result: { outcome: 'done', views } };
}

async function peerView(context: CommandContext, other: Server, self: About): Promise<PairView> {
  const link = readLink(context.host.root);
  if (!link) throw new Error('the link went away');
  try {
    const peer = await linkedPeer(context, link);
    try {
      const acds = peer.session.call('acds', {}).then(acdsFrom);
      return await viewOf(peer.server, peer.session.greeting.version, other, self, acds);
    } finally {
      peer.session.close();
    }
  } catch (error) {
    if (!(error instanceof CmsadmError)) throw error;
    return {
      ...{
        seenBy: other.fqdn,
        reachable: false,
        version: undefined,
        linked: true,
        role: undefined,
        epoch: undefined,
        primary: undefined,
        secondary: undefined,
      },
      ...{ services: {}, lock: undefined, unfinished: [], sync: undefined },
      alarms: [{ at: new Date(context.host.system.clock()).toISOString(), text: error.message }],
    };
  }
}

async function viewOf(
  server: Verbs,
  version: string,
  self: Server,
  about: About,
  asked: Promise<AcdsHere>,
): Promise<PairView> {
  const [facts, standing, acds] = await Promise.all([server.facts(about), server.standing(), linesOrWhy(asked)]);
  const { pair } = facts;
  return {
    seenBy: self.fqdn,
    reachable: true,
    version,
    linked: facts.link !== undefined,
    role: pair ? roleOf(pair, self.address) : undefined,
    epoch: pair?.epoch,
    primary: pair?.primary.fqdn,
    secondary: pair?.secondary.fqdn,
    services: servicesOf(facts),
    lock: standing.lock && lockLine(standing.lock),
    unfinished: standing.unfinished,
    sync: standing.sync && syncLine(standing.sync),
    alarms: standing.alarms,
    ...(acds.length === 0 ? {} : { acds }),
  };
}

const lockLine = ({ operator, operation, since, startedOn, process }: Holder): string =>
  [
    `${operator}: ${operation}`,
    `since ${since}`,
    `from ${startedOn}`,
    ...(process === 'stopped' ? ['stopped'] : []),
  ].join(', ');

const syncLine = ({ state, lastPass, queue }: SyncStatus): string =>
  [
    state,
    ...(lastPass === null ? [] : [`last full pass ${lastPass}`]),
    ...(queue === 0 ? [] : [`${queue} waiting`]),
  ].join(', ');

const servicesOf = (facts: Facts): Record<string, boolean> =>
  Object.fromEntries(
    Object.entries(facts.units).flatMap(([unit, state]) => (state.exists ? [[unit, state.active]] : [])),
  );
