import * as v from 'valibot';
import { acdsWanted } from '../acd/apply.ts';
import {
  type Acd,
  type AcdDefinition,
  acdId,
  acdName,
  definitionFile,
  printDefinition,
  readAcds,
} from '../acd/definition.ts';
import { acdProfile } from '../acd/hooks.ts';
import { linkFile, type OtherLinks, printLink, refuseMixing } from '../acd/link.ts';
import { type AcdRemoval, readRemovals } from '../acd/removal.ts';
import type { AcdsHere } from '../acd/standing.ts';
import { afterTheDecision, CmsadmError } from '../errors.ts';
import { isInstalled } from '../features/installed.ts';
import {
  type Asking,
  answersOf,
  definitionOf,
  type LinkOf,
  linkAnswers,
  linkOf,
  settleAcd,
  summaryLines,
} from './acd-answers.ts';
import { acdLimits, type KnownLimits } from './acd-limits.ts';
import { tellAcds } from './acd-list.ts';
import {
  type AcdServers,
  acdBasis,
  askAcdServers,
  hasLinksOpen,
  refusedByApplication,
  serversOf,
} from './acd-servers.ts';
import { administer } from './administer.ts';
import { type CommandContext, type CommandOutcome, declined, type Given, settleAnswers, usage } from './context.ts';
import { acdChoice } from './parameters.ts';

/** Everything that is known before the first question. */
type Known = {
  readonly limits: KnownLimits;
  readonly acds: readonly Acd[];
  readonly servers: AcdServers;
  readonly removal: AcdRemoval | undefined;
};

/**
 * Option 1: defines a new ACD, with the link of this server and, in a pair, of the other one, in one transaction.
 * @throws CmsadmError no-acds, acds-licensed, application-on, service-changing, peer-away, links-mixed, those of administer
 */
export async function acdCreate(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const { host, profile } = context;
  acdProfile(profile);
  const limits = await acdLimits(context, given);
  const acds = readAcds(host.root, profile);
  const servers = await askAcdServers(context);
  const known = { limits, acds, servers, removal: removalOf(context, given) };
  tellAcds(context, servers);
  refuseBefore(known);
  const links = linksAsked(context, known);
  const all = withoutUndefined({ ...archived(known), ...given });
  const number = await settleNumber(context, all, known);
  if (number === 'q') return declined(context, 'acd_create');
  const missing = number === undefined ? [`--${acdChoice.acd.name}: ${acdChoice.acd.help}`] : [];
  const there = acds.find((acd) => acd.number === number);
  const without = there ? withoutLink(known, there) : [];
  const asking: Asking = there
    ? { only: 'links', links: links.filter(({ name }) => without.includes(name)) }
    : { only: 'all', links };
  if (there) context.report.line(`${acdName(there)} is defined; it has no link at ${without.join(' and ')} yet.`);
  const answers = await settleAcd(context, all, asking, limits, missing);
  if (number === undefined) throw new Error('a missing number is told before');
  return define(context, known, number, answers, asking);
}

/** Servers that have no link to an ACD: it was defined before they were a pair, or on a server that was replaced. */
const withoutLink = ({ servers: { self, other } }: Known, { number }: Acd): string[] =>
  [self, other].flatMap((one) =>
    one && 'here' in one && !one.here.acds.some((acd) => acd.number === number && acd.link !== undefined)
      ? [one.name]
      : [],
  );

function define(
  context: CommandContext,
  { limits, acds, servers, removal }: Known,
  number: number,
  answers: Given,
  asking: Asking,
): Promise<CommandOutcome> {
  const { host, profile } = context;
  const there = acds.find((acd) => acd.number === number);
  const id = there?.id ?? `${number}-${Math.floor(host.system.clock() / 1000)}-${context.pid}`;
  const master = !acds.some((acd) => acd.master);
  const restored = removal ? { restoredFrom: removal.definition.id } : {};
  const definition = there ? plainOf(there) : definitionOf(answers, { id, master, ...restored });
  const made = asking.links.map(({ name, prefix }) => ({ name, prefix, link: linkOf(answers, prefix, id) }));
  const filesOf = (side: LinkOf['prefix']) =>
    made.flatMap(({ prefix, link }) =>
      prefix === side ? [{ path: linkFile(number), content: printLink(number, link) }] : [],
    );
  const restart = serversOf(servers).flatMap((one) => (hasLinksOpen(one) ? [one.name] : []));
  return administer(context, {
    operation: `define ${there ? 'a link of ' : ''}${acdName({ number, name: definition.name })}`,
    files: [
      ...(there ? [] : [{ path: definitionFile(profile, number), content: printDefinition(number, definition) }]),
      ...filesOf(''),
    ],
    peerFiles: filesOf('peer-'),
    basis: acdBasis(context, number, acds, servers),
    notes: [
      ...summaryLines(answers, asking),
      ...(master ? ['It is the master ACD: users whose ACD is removed go to it.'] : []),
      limits.licence === undefined
        ? `No licence package is known: the profile's limits hold (${limits.acds} ACDs, ${limits.members} members).`
        : `By licence ${limits.licence}: at most ${limits.acds} ACDs, ${limits.members} split/skill members.`,
      ...restart.map(
        (name) => `The application is on at ${name}: it uses the link once it was turned off and on there.`,
      ),
    ],
    warning: 'What was administered earlier under this number may not be restorable afterwards.',
    ...(removal
      ? { afterwards: () => afterTheDecision('The ACD is defined', () => acdsWanted.apply(host, profile)) }
      : {}),
    result: {
      acd: number,
      definition,
      links: Object.fromEntries(made.map(({ name, link }) => [name, link])),
      restart,
    },
  });
}

const plainOf = ({ number: _number, ...definition }: Acd): AcdDefinition => definition;

/** @throws CmsadmError acds-licensed */
function refuseMore({ limits, acds }: Known): void {
  if (acds.length < limits.acds) return;
  throw new CmsadmError(
    'acds-licensed',
    `${acds.length} ACDs are defined, and ${limits.licence === undefined ? 'the profile' : `the licence ${limits.licence}`} allows ${limits.acds}.`,
    { remedy: 'Remove one (cmsadm acd_remove), or ask for a licence with more: --licence-package FILE.' },
  );
}

/** @throws CmsadmError acds-licensed, application-on, service-changing, peer-away */
function refuseBefore(known: Known): void {
  const { self, other } = known.servers;
  if (known.acds.every((acd) => withoutLink(known, acd).length === 0)) refuseMore(known);
  const refusal = refusedByApplication(self.here, self.name);
  if (refusal) throw refusal;
  if (other && 'away' in other)
    throw new CmsadmError('peer-away', `${other.name} can't be asked: ${other.away}`, {
      server: other.name,
      remedy: 'An ACD gets its link on both servers at once: see that both are up and run the same version.',
    });
}

/** The removed ACD that is to come back. @throws CmsadmError archive-unknown */
function removalOf({ host, profile }: CommandContext, given: Given): AcdRemoval | undefined {
  const id = given[acdChoice.archive.name];
  if (id === undefined) return undefined;
  const found = v.is(acdId, id) && readRemovals(host.root, profile).find(({ definition }) => definition.id === id);
  if (found) return found;
  throw new CmsadmError('archive-unknown', `No ACD was removed under the id ${JSON.stringify(id)}.`, {
    remedy: 'cmsadm acd_list shows the removed ACDs with their ids.',
  });
}

/** The answers that a removed ACD was defined with, and its links; what is given beside them counts more. */
function archived({ removal, servers: { self, other } }: Known): Given {
  if (!removal) return {};
  return {
    [acdChoice.acd.name]: String(removal.number),
    ...answersOf(removal.definition),
    ...linkAnswers('', removal.links[self.name]),
    ...(other ? linkAnswers('peer-', removal.links[other.name]) : {}),
  };
}

function linksAsked({ host, profile }: CommandContext, { acds, servers: { self, other } }: Known): LinkOf[] {
  const dual = isInstalled(host, profile, acdProfile(profile).dualIp);
  const othersOf = (here: AcdsHere): OtherLinks =>
    here.acds.flatMap(({ number, link }) => {
      const acd = acds.find((one) => one.number === number);
      return link && acd ? [{ acd, link }] : [];
    });
  const links: LinkOf[] = [
    { name: self.name, prefix: '', others: othersOf(self.here), dual },
    ...(other && 'here' in other
      ? [{ name: other.name, prefix: 'peer-' as const, others: othersOf(other.here), dual }]
      : []),
  ];
  // Without the package every link has one address: where others have two, none can be added.
  if (!dual) for (const { name, others } of links) refuseMixing(name, false, others);
  return links;
}

/** @returns undefined where it is missing and nobody can be asked; `q` where somebody leaves */
async function settleNumber(context: CommandContext, given: Given, known: Known): Promise<number | 'q' | undefined> {
  const { max } = acdProfile(context.profile);
  const { name } = acdChoice.acd;
  if (!context.ask && given[name] === undefined) return undefined;
  const free = Array.from({ length: max }, (_, index) => index + 1).find(
    (one) => whyTaken(known, one) === undefined && !known.acds.some((acd) => acd.number === one),
  );
  const answers = await settleAnswers(
    [
      {
        parameter: { ...acdChoice.acd, question: `${acdChoice.acd.question} (1-${max}), q leaves` },
        ...(free === undefined ? {} : { preset: String(free) }),
        check: (typed) => {
          const text = typed.trim();
          if (text === 'q' && context.ask) return text;
          if (!/^[1-9]$/.test(text) || Number(text) > max)
            throw usage(`${JSON.stringify(text)} is no number of an ACD.`, `Type a number from 1 to ${max}.`);
          const why = whyTaken(known, Number(text));
          if (why !== undefined)
            throw new CmsadmError('acd-taken', why, {
              remedy: known.acds.some((acd) => String(acd.number) === text)
                ? `Type another number, or change its links: cmsadm acd_link change ${text}`
                : 'Type another number.',
            });
          if (!known.acds.some((acd) => String(acd.number) === text)) refuseMore(known);
          return text;
        },
      },
    ],
    given,
    context,
  );
  return answers[name] === 'q' ? 'q' : Number(answers[name]);
}

/** Numbers never change: one is free once nothing of an earlier ACD is left on either server. */
function whyTaken(known: Known, number: number): string | undefined {
  const { self, other } = known.servers;
  const there = known.acds.find((acd) => acd.number === number);
  if (there) return withoutLink(known, there).length > 0 ? undefined : `${acdName(there)} is defined already.`;
  for (const one of [self, other])
    if (one && 'here' in one) {
      if (one.here.acds.some((acd) => acd.number === number && acd.link !== undefined))
        return `${one.name} still has a link to an earlier ACD ${number}.`;
      if (one.here.toRemove.some((name) => name.startsWith(`ACD ${number} `)))
        return `${one.name} has not removed its part of an earlier ACD ${number} yet.`;
    }
  return undefined;
}

const withoutUndefined = (given: Given): Given =>
  Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));
