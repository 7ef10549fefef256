import { type AccessChange, accessFile, accessWithout, editAccess, readAccessText } from '../acd/access.ts';
import { acdsWanted } from '../acd/apply.ts';
import { type Acd, acdName, definitionFile, readAcds } from '../acd/definition.ts';
import { acdProfile } from '../acd/hooks.ts';
import { type AcdRemoval, archiveFile, printRemoval, removalFile } from '../acd/removal.ts';
import { refuseLinkedData } from '../acd/standing.ts';
import { afterTheDecision, CmsadmError } from '../errors.ts';
import { tellAcds } from './acd-list.ts';
import { type AcdServers, acdBasis, askAcdServers, serversOf } from './acd-servers.ts';
import { administer } from './administer.ts';
import {
  type CommandContext,
  type CommandOutcome,
  declined,
  type Given,
  type Slot,
  settleAnswers,
  usage,
} from './context.ts';
import { acdChoice } from './parameters.ts';

/**
 * Option 2: removes all administration and data of an ACD. Its users go to the master ACD; each server keeps its part in
 * an archive, from which the ACD can be defined again. The numbers of the others stay.
 * @throws CmsadmError acd-master, acd-collects, acd-in-group, data-is-link, no-room, those of administer
 */
export async function acdRemove(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const { host, profile } = context;
  acdProfile(profile);
  const acds = readAcds(host.root, profile);
  const servers = await askAcdServers(context, { sizes: true });
  tellAcds(context, servers);
  if (acds.length === 0)
    throw new CmsadmError('no-acd', 'No ACD is defined: there is nothing to remove.', { remedy: 'cmsadm acd_list' });
  const acd = await settleRemoval(context, given, acds, servers);
  if (acd === 'q') return declined(context, 'acd_remove');
  const master = acds.find((one) => one.master)?.number ?? acd.number;
  const { text, access } = readAccessText(host.root, profile);
  const change = accessWithout(access, acd.number, master);
  refuseLinkedData(host.root, profile, acd.number);
  await refuseWithoutRoom(context, servers, acd);
  const { number, ...definition } = acd;
  const basis = acdBasis(context, number, acds, servers);
  const removal: AcdRemoval = {
    number,
    at: new Date(host.system.clock()).toISOString(),
    by: context.operator,
    definition,
    links: Object.fromEntries(
      serversOf(servers).flatMap((server) => {
        const link = 'here' in server ? server.here.acds.find((one) => one.number === number)?.link : undefined;
        return link?.id === acd.id ? [[server.name, link]] : [];
      }),
    ),
    users: Object.fromEntries(change.users.map(({ name, to }) => [name, to])),
  };
  const edited = editAccess(text, change);
  return administer(context, {
    operation: `remove ${acdName(acd)}`,
    files: [
      { path: definitionFile(profile, number), content: null },
      { path: removalFile(profile, acd.id), content: printRemoval(removal) },
      ...(edited === text ? [] : [{ path: accessFile(profile), content: edited }]),
    ],
    basis: {
      seen: basis.seen + text,
      read: async () => (await basis.read()) + readAccessText(host.root, profile).text,
    },
    notes: notesOf(acd, servers, change),
    warning: `All administration and data of ${acdName(acd)} goes, on both servers of a pair.`,
    afterwards: () => afterTheDecision('The ACD is removed', () => acdsWanted.apply(host, profile)),
    result: { acd: number, name: acd.name, id: acd.id, archive: archiveFile(acd.id), ...change },
  });
}

/** Number and name: what goes is named twice. */
async function settleRemoval(
  context: CommandContext,
  given: Given,
  acds: readonly Acd[],
  servers: AcdServers,
): Promise<Acd | 'q'> {
  const of = (text: string): Acd | undefined => acds.find(({ number }) => String(number) === text.trim());
  const number: Slot = {
    parameter: {
      ...acdChoice.acd,
      question: `${acdChoice.acd.question} (${acds.map((one) => one.number).join(', ')}), q leaves`,
    },
    check: (typed) => {
      if (typed.trim() === 'q' && context.ask) return 'q';
      const acd = of(typed);
      if (!acd)
        throw usage(`There is no ACD ${JSON.stringify(typed.trim())}.`, 'Type the number of one that is listed.');
      refuseToRemove(context, acd, servers);
      return typed.trim();
    },
  };
  const nameOf = (acd: Acd | undefined): Slot => ({
    parameter: acdChoice.name,
    check: (typed) => {
      const text = typed.trim();
      // An ACD may well be called q.
      if (!acd || text === acd.name) return text;
      if (context.ask && ['', 'q'].includes(text)) return '';
      throw usage(
        `${JSON.stringify(text)} is not the name of ACD ${acd.number}.`,
        'Type its name as it is listed, or q to leave.',
      );
    },
  });
  // A script gets everything that is missing in one error.
  const first = await settleAnswers(
    context.ask ? [number] : [number, nameOf(of(given[acdChoice.acd.name] ?? ''))],
    given,
    context,
  );
  const acd = of(first[acdChoice.acd.name] ?? '');
  if (!acd) return 'q';
  if (!context.ask) return acd;
  const { [acdChoice.name.name]: name } = await settleAnswers([nameOf(acd)], given, context);
  return name === '' ? 'q' : acd;
}

/** @throws CmsadmError acd-master, acd-in-group, acd-collects */
function refuseToRemove({ host, profile }: CommandContext, acd: Acd, servers: AcdServers): void {
  if (acd.master)
    throw new CmsadmError('acd-master', `${acdName(acd)} is the master ACD, to which users of others go.`, {
      remedy: 'Remove another one.',
    });
  accessWithout(readAccessText(host.root, profile).access, acd.number, acd.number);
  const collecting = serversOf(servers).filter(
    (server) =>
      'here' in server &&
      server.here.acds.some(({ number, collection }) => number === acd.number && collection === 'on'),
  );
  if (collecting.length > 0)
    throw new CmsadmError(
      'acd-collects',
      `${acdName(acd)} collects data on ${collecting.map(({ name }) => name).join(' and ')}.`,
      {
        remedy: `Stop that there first: cmsadm acd_link stop ${acd.number}.`,
      },
    );
}

/** The archive lies on another disk, maybe: it is looked at before anything goes. @throws CmsadmError no-room */
async function refuseWithoutRoom({ host }: CommandContext, { self }: AcdServers, { number }: Acd): Promise<void> {
  const data = self.here.acds.find((one) => one.number === number)?.data ?? [];
  const needs = Math.ceil(data.reduce((sum, { kilobytes }) => sum + kilobytes, 0) / 1024) + 1;
  const { freeMb } = await host.system.disk('/var/lib/cmsadm');
  if (freeMb >= needs) return;
  throw new CmsadmError(
    'no-room',
    `The archive needs up to ${needs} MB below /var/lib/cmsadm, and ${freeMb} MB are free.`,
    {
      remedy: 'Make room there.',
    },
  );
}

function notesOf(acd: Acd, servers: AcdServers, { users, tenants }: AccessChange): string[] {
  const { number } = acd;
  return [
    ...serversOf(servers).flatMap((server) => {
      if ('away' in server) return [`${server.name} can't be asked: it removes its part once it is back.`];
      const here = server.here.acds.find((one) => one.number === number);
      return [
        ...(here?.link ? [`${server.name}: its link, ${here.link.host} port ${here.link.port}`] : []),
        ...(here?.data ?? []).map(({ path, kilobytes }) => `${server.name}: ${path} with ${kilobytes} kB of data`),
      ];
    }),
    ...users.map(({ name, tenant, to }) =>
      to === null
        ? `User ${name} of tenant ${tenant} can't get in any more, until he is given another ACD`
        : `User ${name} goes to ACD ${to}`,
    ),
    ...tenants.map(({ name, left }) =>
      left.length === 0
        ? `Tenant ${name} has no ACD left: it loses access`
        : `Tenant ${name} keeps ACD ${left.join(', ')}`,
    ),
    `Each server keeps its part in ${archiveFile(acd.id)}; to bring it back: cmsadm acd_create --from-archive ${acd.id}`,
    'The other ACDs keep their numbers.',
  ];
}
