import { acdName, readAcds } from '../acd/definition.ts';
import { acdProfile, type LinkAction, linkActions, runHook, standsAs, stateOf } from '../acd/hooks.ts';
import { linkText, readLinkOf } from '../acd/link.ts';
import { clockFaults } from '../acd/standing.ts';
import { afterTheDecision, CmsadmError, exitCodes } from '../errors.ts';
import { during } from '../report.ts';
import { linkParameters } from './acd-parameters.ts';
import {
  type CommandContext,
  type CommandOutcome,
  confirmed,
  declined,
  type Given,
  requireSomebody,
  settleAnswers,
  usage,
} from './context.ts';
import { lockedHere } from './locked-here.ts';
import { acdChoice } from './parameters.ts';

const words: Readonly<Record<LinkAction, string>> = {
  start: 'start the data collection',
  stop: 'stop the data collection',
  busy: 'busy out the link',
  release: 'release the link',
};

/**
 * `cmsadm acd_link start|stop|busy|release N`: data collection and link of one ACD on this server, by the programs of the
 * profile. `change N` is another matter: the links themselves.
 * @throws CmsadmError no-link, no-hook, clock-differs, hook-failed, link-not-so, those of changeLink
 */
export async function acdLink(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const { host, profile, report } = context;
  acdProfile(profile);
  const { action, number } = await settleWhat(context, given);
  requireSomebody(context);
  if (action === 'change') return (await import('./acd-link-change.ts')).changeLink(context, given, number);
  const unwanted = linkParameters.filter(({ name }) => given[name] !== undefined).map(({ name }) => `--${name}`);
  if (unwanted.length > 0)
    throw usage(
      `${action} takes no ${unwanted.join(', ')}.`,
      `Leave them out, or change the links: cmsadm acd_link change ${number}`,
    );
  const acd = readAcds(host.root, profile).find((one) => one.number === number);
  const link = readLinkOf(host.root, number);
  if (!acd || !link)
    throw new CmsadmError('no-link', `This server has no link to an ACD ${number}.`, {
      remedy: 'cmsadm acd_list shows the ACDs and their links.',
    });
  const what = `${words[action]} of ${acdName(acd)}`;
  const before = await stateOf(host, profile, number);
  report.line(`${acdName(acd)}: ${linkText(link)}, data collection ${before.collection}, link ${before.link}`);
  const facts = { action, acd: number, name: acd.name, before };
  if (standsAs(action, before)) {
    report.line(`Nothing is to be done: it stands so already.`);
    return { exitCode: exitCodes.done, summary: `${what}: nothing to do`, result: { ...facts, outcome: 'nothing' } };
  }
  // Both bring a link up.
  if (action === 'start' || action === 'release') await refuseOtherClock(context, action, number);
  report.line(`On this server: ${what}.`);
  if (context.dryRun)
    return { exitCode: exitCodes.pending, summary: `${what}: dry run`, result: { ...facts, outcome: 'pending' } };
  if (!(await confirmed(context))) return declined(context, what);
  await lockedHere(context, what, async () => {
    await during(report, `Working: ${what}`, () =>
      afterTheDecision('The program was started', () => runHook(host, profile, action, number)),
    );
  });
  const after = await stateOf(host, profile, number);
  const isTold = after.collection !== 'unknown' || after.link !== 'unknown';
  if (isTold && !standsAs(action, after))
    throw new CmsadmError('link-not-so', `The program ended well, but ${acdName(acd)} does not stand so.`, {
      exitCode: exitCodes.needsPerson,
      details: [`data collection ${after.collection}, link ${after.link}`],
      remedy: `Look with: cmsadm acd_check --acd ${number}`,
    });
  report.line(`Done: ${what}. Data collection ${after.collection}, link ${after.link}.`);
  return { exitCode: exitCodes.done, summary: `${what}: done`, result: { ...facts, after, outcome: 'done' } };
}

/** A switch refuses a link whose clocks differ by more than a day. @throws CmsadmError clock-differs */
async function refuseOtherClock({ host, profile }: CommandContext, action: LinkAction, number: number): Promise<void> {
  const { faults } = await clockFaults(host, profile, number);
  if (faults.length === 0) return;
  throw new CmsadmError('clock-differs', `ACD ${number}: ${faults.join(', ')}.`, {
    remedy: `Set the clock of the switch or of this server (see chronyd), then: cmsadm acd_link ${action} ${number}`,
  });
}

async function settleWhat(
  context: CommandContext,
  given: Given,
): Promise<{ readonly action: LinkAction | 'change'; readonly number: number }> {
  const actions = [...linkActions, 'change'] as const;
  const check = (typed: string): string => {
    const [, action, number = ''] = /^(\S+)\s+(\d{1,9})$/.exec(typed.trim()) ?? [];
    if (actions.some((one) => one === action)) {
      if (/^[1-8]$/.test(number)) return `${action} ${number}`;
      throw usage(`There is no ACD ${number}.`, 'ACDs are numbered from 1 to 8; cmsadm acd_list shows them.');
    }
    throw usage(
      typed.trim() === '' ? 'Nothing says what is to be done.' : `${JSON.stringify(typed.trim())} can't be done.`,
      `Type ${actions.join(', ')} and the number of the ACD, as in: start 1`,
    );
  };
  const { what = '' } = await settleAnswers([{ parameter: acdChoice.link, check }], given, context);
  const [action, number] = what.split(' ');
  return { action: actions.find((one) => one === action) ?? 'start', number: Number(number) };
}
