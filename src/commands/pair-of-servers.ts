import type { Server as Verbs } from '../change/server.ts';
import type { Server } from '../config-files/server.ts';
import { CmsadmError } from '../errors.ts';
import type { BothFacts } from '../ha/answers.ts';
import { pairOf } from '../ha/roles.ts';
import type { Facts } from '../pair/facts.ts';
import { type Link, type Pair, readLink, readPair, roleOf } from '../pair/state.ts';
import { linkedPeer, type Peer } from './contact.ts';
import type { CommandContext } from './context.ts';
import { localContextServer } from './run-plan.ts';

/** This server, its link and its saved pair. */
export type OwnStanding = {
  readonly local: Verbs;
  readonly link: Link;
  readonly pair: Pair | undefined;
  readonly role: 'primary' | 'secondary' | undefined;
  /** The other server. */
  readonly other: Server;
};

/** @throws CmsadmError not-paired on a server without a link */
export async function ownStanding(context: CommandContext): Promise<OwnStanding> {
  const link = readLink(context.host.root);
  if (!link)
    throw new CmsadmError('not-paired', 'This server belongs to no pair.', {
      remedy: 'A pair is made by: cmsadm config_HA setup.',
    });
  const pair = readPair(context.host.root);
  const role = pair ? roleOf(pair, link.self.address) : undefined;
  return { local: localContextServer(context), link, pair, role, other: link.peer };
}

/** Facts of both servers over an open session. */
export async function factsOfBoth(own: OwnStanding, peer: Peer): Promise<BothFacts> {
  const { self, peer: other } = own.link;
  const [theirs, ours] = await Promise.all([
    peer.server.facts({ address: self.address, fqdn: self.fqdn }),
    own.local.facts({ address: other.address, fqdn: other.fqdn }),
  ]);
  return { local: ours, peer: theirs };
}

/** The peer's link, to prove a login back. @throws CmsadmError not-in-step */
export function linksOf(facts: BothFacts): { local: Link; peer: Link } {
  const { local, peer } = { local: facts.local.link, peer: facts.peer.link };
  if (local && peer) return { local, peer };
  throw new CmsadmError('not-in-step', 'The other server does not know this link.', {
    remedy: 'Set up the roles again.',
  });
}

/**
 * Both servers must tell the same pair.
 * @throws CmsadmError not-in-step, naming what each of them says
 */
export function refuseIfNotInStep(facts: BothFacts): Pair {
  const pair = pairOf(facts.local);
  const theirs = facts.peer.pair;
  const tell = (who: string, { pair: seen, epoch }: Facts): string =>
    `${who}: ${seen ? `${seen.primary.fqdn} is primary, epoch ${seen.epoch}` : 'no pair'}, highest epoch ${epoch}`;
  if (theirs && theirs.epoch === pair.epoch && theirs.primary.address === pair.primary.address) return pair;
  throw new CmsadmError('not-in-step', 'The two servers do not tell the same pair.', {
    details: [tell('this server', facts.local), tell('the other server', facts.peer)],
    remedy:
      'Wait for admin-sync (20 s), look with `cmsadm config_HA show`, or set up the roles again on the server that shall be primary.',
  });
}

/** The peer, or the error that says what can be done without it. */
export async function peerOrAdvice(context: CommandContext, own: OwnStanding, advice: string): Promise<Peer> {
  try {
    return await linkedPeer(context, own.link);
  } catch (error) {
    if (!(error instanceof CmsadmError)) throw error;
    throw new CmsadmError(
      error.code === 'host-key-changed' ? error.code : 'peer-away',
      `${own.other.fqdn} cannot be reached: ${error.message}`,
      {
        server: own.other.fqdn,
        details: error.details,
        remedy: advice,
        cause: error,
      },
    );
  }
}

/** A server and how to call it. */
export type Named = { readonly name: string; readonly server: Verbs };

/** This server and, where it is linked and answers, the other one. */
export type ServersThere = {
  /** This server first. */
  readonly servers: readonly Named[];
  readonly link: Link | undefined;
  readonly peer: Peer | undefined;
  /** Why the other one can't be asked; undefined where it is asked, or where there is none. */
  readonly away: CmsadmError | undefined;
};

/** The servers that can be asked, whether they are a pair or not. */
export async function serversThere(context: CommandContext): Promise<ServersThere> {
  const alone = await onlyThis(context);
  const { link } = alone;
  if (!link) return alone;
  try {
    const peer = await linkedPeer(context, link);
    return { ...alone, servers: [...alone.servers, { name: link.peer.fqdn, server: peer.server }], peer };
  } catch (cause) {
    if (!(cause instanceof CmsadmError)) throw cause;
    const message = `${link.peer.fqdn} cannot be reached: ${cause.message}`;
    return { ...alone, away: new CmsadmError('peer-away', message, { server: link.peer.fqdn, cause }) };
  }
}

/** This server, with its link, the other one unasked. */
export async function onlyThis(context: CommandContext): Promise<ServersThere> {
  const link = readLink(context.host.root);
  const name = link?.self.fqdn ?? (await context.host.system.identity()).hostname;
  return { servers: [{ name, server: localContextServer(context) }], link, peer: undefined, away: undefined };
}
