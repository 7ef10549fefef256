import { type Acd, acdName, readAcds } from '../acd/definition.ts';
import { acdProfile } from '../acd/hooks.ts';
import { type AcdLink, linkFile, linkText, type OtherLinks, printLink } from '../acd/link.ts';
import { acdQuestions } from '../acd/questions.ts';
import { CmsadmError } from '../errors.ts';
import { isInstalled } from '../features/installed.ts';
import { type LinkOf, linkOf, settleAcd, summaryLines } from './acd-answers.ts';
import { acdLimits } from './acd-limits.ts';
import {
  type AcdServer,
  acdBasis,
  askAcdServers,
  hasLinksOpen,
  refusedByApplication,
  serversOf,
} from './acd-servers.ts';
import { type AdministeredFile, administer } from './administer.ts';
import { requireAuthority } from './allowed-here.ts';
import type { CommandContext, CommandOutcome, Given } from './context.ts';

/** A link as it is, and what is asked about it. */
type Changing = LinkOf & { readonly present: AcdLink };

/**
 * `cmsadm acd_link change N`: other addresses and ports for the links of an ACD that is defined, its data untouched. The link
 * of a server that collects data or can't be asked stays as it is; all others are changed in one transaction.
 * @throws CmsadmError not-authority, no-link, acd-collects, application-on, service-changing, peer-away, links-mixed, those of administer
 */
export async function changeLink(context: CommandContext, given: Given, number: number): Promise<CommandOutcome> {
  const { host, profile, report } = context;
  requireAuthority(host, 'acd_link change changes the links of both servers');
  const acds = readAcds(host.root, profile);
  const acd = acds.find((one) => one.number === number);
  if (!acd)
    throw new CmsadmError('no-link', `There is no ACD ${number}.`, {
      remedy: 'cmsadm acd_list shows the ACDs and their links.',
    });
  const servers = await askAcdServers(context);
  const links: Changing[] = [];
  const refusals: CmsadmError[] = [];
  for (const server of serversOf(servers)) {
    const prefix = server.name === servers.self.name ? '' : 'peer-';
    const found = changing(context, server, prefix, acd, acds);
    if (!(found instanceof CmsadmError)) links.push(found);
    else if (isNamed(given, prefix)) throw found;
    else refusals.push(found);
  }
  const [refusal] = refusals;
  if (refusal && links.length === 0) throw refusal;
  report.line(`${acdName(acd)}:`);
  for (const { name, present } of links) report.line(`  ${name}: ${linkText(present)}`);
  for (const { message } of refusals) report.warn(`${message} Its link stays as it is.`);
  const asking = { links, only: 'links' } as const;
  const answers = await settleAcd(context, given, asking, await acdLimits(context, {}), []);
  const made = links.map((link) => ({ ...link, after: linkOf(answers, link.prefix, link.present.id) }));
  const changed = made.filter(({ present, after }) => printLink(number, present) !== printLink(number, after));
  const filesOf = (side: LinkOf['prefix']): AdministeredFile[] =>
    changed.flatMap(({ prefix, after }) =>
      prefix === side ? [{ path: linkFile(number), content: printLink(number, after) }] : [],
    );
  const restart = serversOf(servers).flatMap((one) =>
    hasLinksOpen(one) && changed.some(({ name }) => name === one.name) ? [one.name] : [],
  );
  return administer(context, {
    operation: `change ${changed.length > 1 ? 'the links' : 'the link'} of ${acdName(acd)}`,
    files: filesOf(''),
    peerFiles: filesOf('peer-'),
    basis: acdBasis(context, number, acds, servers),
    notes: [
      ...summaryLines(answers, asking),
      ...restart.map(
        (name) => `The application is on at ${name}: it uses the link once it was turned off and on there.`,
      ),
      `Try the addresses afterwards: cmsadm acd_check --acd ${number}`,
    ],
    result: {
      ...{ action: 'change', acd: number, name: acd.name },
      links: Object.fromEntries(made.map(({ name, present, after }) => [name, { before: present, after }])),
      restart,
    },
  });
}

/** True where something is said about the link of one server. */
const isNamed = (given: Given, prefix: LinkOf['prefix']): boolean =>
  acdQuestions.link.some(({ key }) => given[`${prefix}${key}`] !== undefined);

/** The link of one server, or why it can't be changed now. */
function changing(
  { host, profile }: CommandContext,
  server: AcdServer,
  prefix: LinkOf['prefix'],
  acd: Acd,
  acds: readonly Acd[],
): Changing | CmsadmError {
  const { name } = server;
  const refused = (code: string, message: string, remedy: string): CmsadmError =>
    new CmsadmError(code, message, { server: name, remedy });
  if ('away' in server)
    return refused('peer-away', `${name} can't be asked: ${server.away}`, 'Change its link once it is back.');
  const here = server.here.acds.find(({ number }) => number === acd.number);
  if (!here?.link)
    return refused(
      'no-link',
      `${name} has no link to ${acdName(acd)}.`,
      `cmsadm acd_create --acd ${acd.number} gives it one.`,
    );
  if (here.collection === 'on')
    return refused(
      'acd-collects',
      `${acdName(acd)} collects data on ${name}.`,
      `Stop that there first: cmsadm acd_link stop ${acd.number}.`,
    );
  const byApplication = prefix === '' ? refusedByApplication(server.here, name) : undefined;
  if (byApplication) return byApplication;
  const others: OtherLinks = server.here.acds.flatMap(({ number, link }) => {
    const other = acds.find((one) => one.number === number && number !== acd.number);
    return link && other ? [{ acd: other, link }] : [];
  });
  // A link that has two addresses keeps the question for the second one, package or not.
  const dual = isInstalled(host, profile, acdProfile(profile).dualIp) || here.link.survivable !== undefined;
  return { name, prefix, others, dual, present: here.link };
}
