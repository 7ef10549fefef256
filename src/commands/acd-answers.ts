import type { AcdDefinition } from '../acd/definition.ts';
import { type AcdLink, type OtherLinks, refuseMixing } from '../acd/link.ts';
import { type AcdQuestion, type Answers, acdQuestions, type Limits } from '../acd/questions.ts';
import { type Rule, ruled, ruleText } from '../acd/rules.ts';
import { type CommandContext, type Given, type Slot, settleAnswers } from './context.ts';

/** One server whose link is asked for. */
export type LinkOf = {
  readonly name: string;
  /** Before the keys of its questions: nothing for this server, `peer-` for the other one. */
  readonly prefix: '' | 'peer-';
  readonly others: OtherLinks;
  /** Whether it may have a survivable address: its package is installed. */
  readonly dual: boolean;
  /** What it is now, where it is to be changed: preset at each question. */
  readonly present?: AcdLink;
};

/** A question as it is asked now, with the server in front of it where there are two. */
type Asked = { readonly question: AcdQuestion; readonly key: string; readonly link: LinkOf | undefined };

/** What is asked: all about an ACD, or only links that are missing. */
export type Asking = { readonly links: readonly LinkOf[]; readonly only: 'all' | 'links' };

/** All questions in the order of the original; the links stand in the middle, this server's first. */
function questionsFor({ links, only }: Asking): Asked[] {
  const plain = (question: AcdQuestion): Asked => ({ question, key: question.key, link: undefined });
  const ofLinks = links.flatMap((link) =>
    acdQuestions.link.map((question) => ({ question, key: `${link.prefix}${question.key}`, link })),
  );
  if (only === 'links') return ofLinks;
  return [...acdQuestions.before.map(plain), ...ofLinks, ...acdQuestions.after.map(plain)];
}

/** What a question of one link sees of the answers: those of its own link. */
const seenBy = ({ link }: Asked, answers: Answers): Answers =>
  link
    ? {
        dual: link.dual ? 'y' : 'n',
        'survivable-host': answers[`${link.prefix}survivable-host`],
      }
    : answers;

function slotOf(asked: Asked, limits: Limits, answers: Answers, named: boolean): Slot {
  const { question, key, link } = asked;
  const rule: Rule = typeof question.rule === 'function' ? question.rule(limits, answers) : question.rule;
  const where = link && named ? `${link.name}: ` : '';
  const preset = presetOf(asked);
  return {
    parameter: { name: key, question: `${where}${question.text}${ruleText(rule)}`, help: question.help },
    ...(preset === undefined ? {} : { preset }),
    check: (typed) => {
      const answer = ruled(rule, typed);
      if (link && question.key === 'survivable-host') refuseMixing(link.name, answer !== 'none', link.others);
      return answer;
    },
  };
}

/** What a link is now; and a server whose links all have one address offers none for the second. */
function presetOf({ question, link }: Asked): string | undefined {
  const present = linkAnswers('', link?.present)[question.key];
  if (present !== undefined) return present;
  if (question.key !== 'survivable-host') return question.preset;
  return link && link.others.length > 0 && link.others.every((one) => one.link.survivable === undefined)
    ? 'none'
    : undefined;
}

/**
 * Settles every answer about an ACD and its links. At a terminal one after the other; without one, all that is missing or
 * wrong is told at once.
 * @throws CmsadmError those of settleAnswers
 */
export async function settleAcd(
  context: CommandContext,
  given: Given,
  asking: Asking,
  limits: Limits,
  alsoMissing: readonly string[],
): Promise<Answers> {
  const all = questionsFor(asking);
  const named = namesServers(asking);
  if (!context.ask) {
    const presets = Object.fromEntries(all.flatMap((one) => (presetOf(one) ? [[one.key, presetOf(one)]] : [])));
    const assumed = { ...presets, ...given };
    const slots = all
      .filter((one) => one.question.when?.(seenBy(one, assumed)) ?? true)
      .map((one) => slotOf(one, limits, assumed, named));
    return settleAnswers(slots, given, context, alsoMissing);
  }
  let answers: Answers = {};
  for (const one of all)
    if (one.question.when?.(seenBy(one, answers)) ?? true)
      answers = { ...answers, ...(await settleAnswers([slotOf(one, limits, answers, named)], given, context)) };
  return answers;
}

/** Where two servers are asked about, or the other one alone, each question says which. */
const namesServers = ({ links }: Asking): boolean => links.length > 1 || links.some(({ prefix }) => prefix !== '');

/** What was answered, a line each, as the summary shows it. */
export function summaryLines(answers: Answers, asking: Asking): string[] {
  return questionsFor(asking).flatMap(({ question, key, link }) => {
    const answer = answers[key];
    const where = link && namesServers(asking) ? `${link.name}: ` : '';
    return answer === undefined ? [] : [`${where}${question.text}: ${answer}`];
  });
}

/** The link of one server, as answered. */
export function linkOf(answers: Answers, prefix: LinkOf['prefix'], id: string): AcdLink {
  const of = (key: string): string => answers[`${prefix}${key}`] ?? '';
  const survivable = of('survivable-host');
  return {
    id,
    localPort: Number(of('local-port')),
    remotePort: Number(of('remote-port')),
    transport: 'TCP/IP',
    host: of('host'),
    port: Number(of('port')),
    ...(survivable === '' || survivable === 'none'
      ? {}
      : { survivable: { host: survivable, port: Number(of('survivable-port')) } }),
  };
}

/** The definition, as answered. */
export function definitionOf(
  answers: Answers,
  { id, master, restoredFrom }: Pick<AcdDefinition, 'id' | 'master' | 'restoredFrom'>,
): AcdDefinition {
  const number = (key: string): number => Number(answers[key]);
  const yes = (key: string): boolean => answers[key] === 'y';
  const release = answers['release'];
  return {
    id,
    name: answers['switch-name'] ?? '',
    release: release === '7.x' || release === '8.x' ? release : '10.x',
    master,
    vectoring: yes('vectoring'),
    expertAgentSelection: yes('eas'),
    disconnectSupervision: yes('disconnect-supervision'),
    ...(yes('disconnect-supervision') ? {} : { phantomAbandonSeconds: number('phantom-abandon') }),
    splits: number('splits'),
    splitMembers: number('split-members'),
    shifts: Array.from({ length: number('shifts') }, (_, index) => ({
      start: answers[`shift-${index + 1}-start`] ?? '',
      stop: answers[`shift-${index + 1}-stop`] ?? '',
      agents: number(`shift-${index + 1}-agents`),
    })),
    trunkGroups: number('trunk-groups'),
    trunks: number('trunks'),
    unmeasuredFacilities: number('unmeasured'),
    callWorkCodes: number('call-work-codes'),
    vectors: number('vectors'),
    vdns: number('vdns'),
    ...(restoredFrom === undefined ? {} : { restoredFrom }),
  };
}

const yesNo = (value: boolean): string => (value ? 'y' : 'n');

/** The answers that a definition came from. */
export const answersOf = (definition: AcdDefinition): Answers => ({
  'switch-name': definition.name,
  release: definition.release,
  vectoring: yesNo(definition.vectoring),
  eas: yesNo(definition.expertAgentSelection),
  'disconnect-supervision': yesNo(definition.disconnectSupervision),
  'phantom-abandon': definition.phantomAbandonSeconds?.toString(),
  splits: String(definition.splits),
  'split-members': String(definition.splitMembers),
  shifts: String(definition.shifts.length),
  ...Object.fromEntries(
    definition.shifts.flatMap(({ start, stop, agents }, index) => [
      [`shift-${index + 1}-start`, start],
      [`shift-${index + 1}-stop`, stop],
      [`shift-${index + 1}-agents`, String(agents)],
    ]),
  ),
  'trunk-groups': String(definition.trunkGroups),
  trunks: String(definition.trunks),
  unmeasured: String(definition.unmeasuredFacilities),
  'call-work-codes': String(definition.callWorkCodes),
  vectors: String(definition.vectors),
  vdns: String(definition.vdns),
});

/** The answers that a link came from. */
export const linkAnswers = (prefix: LinkOf['prefix'], link: AcdLink | undefined): Answers =>
  link
    ? {
        [`${prefix}local-port`]: String(link.localPort),
        [`${prefix}remote-port`]: String(link.remotePort),
        [`${prefix}transport`]: link.transport,
        [`${prefix}host`]: link.host,
        [`${prefix}port`]: String(link.port),
        [`${prefix}survivable-host`]: link.survivable?.host ?? 'none',
        [`${prefix}survivable-port`]: link.survivable?.port.toString(),
      }
    : {};
