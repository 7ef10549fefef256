import { type Acd, acdName, readAcds } from '../acd/definition.ts';
import { type AcdHere, type AcdsAsked, type AcdsHere, acdsFrom, acdsHere } from '../acd/standing.ts';
import { CmsadmError } from '../errors.ts';
import { during } from '../report.ts';
import type { Basis } from './basis.ts';
import type { CommandContext } from './context.ts';
import { serversThere } from './pair-of-servers.ts';

/** What one server says of the ACDs, or why it can't be asked. */
export type AcdServer = { readonly name: string } & ({ readonly here: AcdsHere } | { readonly away: string });

/** This server, and the other one of a pair. */
export type AcdServers = {
  readonly self: { readonly name: string; readonly here: AcdsHere };
  readonly other: AcdServer | undefined;
};

/**
 * Asks both servers of a pair how they stand to each ACD.
 * @throws CmsadmError administration-missing, acd-unreadable
 */
export async function askAcdServers(context: CommandContext, asked: AcdsAsked = {}): Promise<AcdServers> {
  const text = asked.probes ? 'Calling the switches' : 'Asking how the ACDs stand';
  return during(context.report, text, async () => {
    const { servers, link, peer, away } = await serversThere(context);
    const own = acdsHere(context.host, context.profile, asked);
    const theirs = peer
      ? peer.session
          .call('acds', asked)
          .then((value): AcdServer => ({ name: link?.peer.fqdn ?? '', here: acdsFrom(value) }))
          .catch((error: unknown): AcdServer => {
            if (!(error instanceof CmsadmError)) throw error;
            return { name: link?.peer.fqdn ?? '', away: error.message };
          })
          .finally(() => peer.session.close())
      : undefined;
    const [here, answered] = await Promise.all([own, theirs]);
    const other = link && (answered ?? { name: link.peer.fqdn, away: away?.message ?? 'it does not answer' });
    return { self: { name: servers[0]?.name ?? 'this server', here }, other };
  });
}

/** How one ACD stands on one server, in a line. */
export function acdLine({ link, collection, state, watched, data }: AcdHere): string {
  const place = link ? `link ${link.host} port ${link.port}` : 'no link';
  const second = link?.survivable ? `, survivable ${link.survivable.host} port ${link.survivable.port}` : '';
  const kilobytes = data.reduce((sum, one) => sum + one.kilobytes, 0);
  return [
    `${place}${second}`,
    `data collection ${collection}`,
    ...(state === 'unknown' ? [] : [`link ${state}`]),
    ...(watched === undefined ? [] : [watched]),
    ...(kilobytes === 0 ? [] : [`${kilobytes} kB of data`]),
  ].join(', ');
}

/** What a change of one ACD is planned from: all definitions, all links, and whether anything collects by its own. */
export function acdBasis(context: CommandContext, number: number, acds: readonly Acd[], servers: AcdServers): Basis {
  const { host, profile } = context;
  const told = (defined: readonly Acd[], asked: AcdServers): string =>
    JSON.stringify([
      defined,
      [asked.self.here.applicationOn ?? null, asked.self.here.applicationChanging ?? null],
      serversOf(asked).map((server) => [server.name, 'here' in server ? partsOf(server.here, number) : 'away']),
    ]);
  return {
    seen: told(acds, servers),
    read: async () => told(readAcds(host.root, profile), await askAcdServers(context)),
  };
}

const partsOf = ({ acds, toRemove }: AcdsHere, number: number) => ({
  links: acds.map((acd) => [acd.number, acd.link ?? null]),
  collection: acds.find((acd) => acd.number === number)?.collection ?? null,
  toRemove: toRemove.filter((name) => name.startsWith(`ACD ${number} `)),
});

/** Both servers, this one first. */
export const serversOf = ({ self, other }: AcdServers): AcdServer[] => (other ? [self, other] : [self]);

/** True where the application has the links as they were before a change: it is on, or just starting. */
export const hasLinksOpen = (server: AcdServer): boolean =>
  'here' in server && (server.here.applicationOn === true || server.here.applicationChanging === 'starting');

/** Why the link of this server can't be changed now, if its application is not off. */
export function refusedByApplication(here: AcdsHere, name: string): CmsadmError | undefined {
  if (here.applicationOn === true)
    return new CmsadmError('application-on', `The application is on at ${name}, and links are not changed under it.`, {
      server: name,
      remedy: 'Turn it off first: cmsadm run_cms --action off. In a pair the other server goes on collecting.',
    });
  if (here.applicationChanging === undefined) return undefined;
  const how = `The application is just ${here.applicationChanging} at ${name}`;
  return new CmsadmError('service-changing', `${how}, and links are not changed under it.`, {
    server: name,
    remedy: 'Wait, and look with: cmsadm run_cms. What is just starting can be turned off there.',
  });
}

/** The data collection of each ACD on one server, a line each. */
const collectionLines = ({ acds }: AcdsHere): string[] =>
  acds.map(({ number, name, collection, state }) => {
    const link = state === 'unknown' ? '' : `, link ${state}`;
    return `${acdName({ number, name: name ?? 'not known here' })}: data collection ${collection}${link}`;
  });

/** The same for screens that tell more: why it can't be told is a line too. A program that is older tells nothing. */
export async function linesOrWhy(asked: Promise<AcdsHere>): Promise<string[]> {
  try {
    return collectionLines(await asked);
  } catch (error) {
    if (!(error instanceof CmsadmError)) throw error;
    return toldElsewhere.includes(error.code) ? [] : [error.message];
  }
}

/** After a set up: which ACDs are collected from, on both servers; nothing where none is defined. */
export async function collectionNotes(context: CommandContext): Promise<string[]> {
  const { host, profile } = context;
  try {
    if (!profile.acd || readAcds(host.root, profile).length === 0) return [];
    return serversOf(await askAcdServers(context)).flatMap((server) =>
      'away' in server
        ? [`${server.name}: its ACDs can't be asked for: ${server.away}`]
        : collectionLines(server.here).map((line) => `${server.name}: ${line}`),
    );
  } catch (error) {
    // Set up is done: what is wrong with an ACD takes nothing of that back.
    if (!(error instanceof CmsadmError)) throw error;
    return toldElsewhere.includes(error.code) ? [] : [error.message];
  }
}

/** An older program, a session that other questions lose too, and a folder that admin-sync tells of. */
const toldElsewhere: readonly string[] = ['verb-unknown', 'verb-too-new', 'session-lost', 'administration-missing'];
