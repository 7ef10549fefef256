import { readHold, readPause } from '../agent/paused.ts';
import { CmsadmError, exitCodes } from '../errors.ts';
import { statusFrom } from '../pair/sync-status.ts';
import { during } from '../report.ts';
import { requireAuthority } from './allowed-here.ts';
import { type CommandContext, type CommandOutcome, declined, type Given, settleAnswers, usage } from './context.ts';
import { syncParameters } from './parameters.ts';
import { askAgent, ownName } from './sync-agents.ts';
import { passReportsFrom } from './sync-answers.ts';
import { duringPass, passGoesOn } from './sync-now.ts';

/** Nothing is sent any more, until it is resumed. @throws CmsadmError agent-not-running, not-authority */
export async function syncPause(context: CommandContext): Promise<CommandOutcome> {
  const before = readPause(context.host.root);
  // The agent takes no longer name.
  await askAgent(context, 'syncPause', { by: context.operator.slice(0, 64) });
  if (before) return nothingToDo(context, `Admin-sync is paused already, by ${before.by} since ${before.since}.`);
  const { queue } = statusFrom(await askAgent(context, 'syncStatus'));
  const text = 'Admin-sync is paused, also over a restart, until `cmsadm sync resume`.';
  const late = queue > 0 ? ' What is on its way already may still go across.' : '';
  return done(context, `${text}${late}`, 'admin-sync paused');
}

/**
 * Sends nothing from now on, until the restore with this tag has ended; what was under way is across.
 * @throws CmsadmError agent-not-running, not-authority, sync-held
 */
export async function syncHold(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const { name } = syncParameters.restore;
  const answers = await settleAnswers([{ parameter: syncParameters.restore, check: someTag }], given, context);
  const tag = answers[name] ?? '';
  if (tag === LEAVE && given[name] === undefined) return declined(context, 'sync hold');
  const undo = `cmsadm sync resume --tag ${tag}`;
  await during(context.report, 'Waiting for what is under way', () =>
    askAgent(
      context,
      'syncHold',
      { tag, by: context.operator.slice(0, 64) },
      { text: `admin-sync is held for the restore ${tag} all the same`, remedy: `If it is not to be: ${undo}` },
    ),
  );
  const text = `Admin-sync is held for the restore ${tag}, also over a restart, until: ${undo}`;
  return done(context, text, `admin-sync held for the restore ${tag}`, { tag });
}

/**
 * Sends again, beginning with what changed meanwhile; with the tag of a restore, with one full pass in which what the
 * restore removed goes on the other server too.
 * @throws CmsadmError agent-not-running, not-authority, sync-held, restore-unknown, not-in-step
 */
export async function syncResume(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const { root } = context.host;
  const tag = given[syncParameters.restored.name];
  if (tag !== undefined) return endRestore(context, someTag(tag));
  const wasStopped = readPause(root) !== undefined || readHold(root) !== undefined;
  await askAgent(context, 'syncResume');
  if (!wasStopped) return done(context, 'Admin-sync was not paused; a full pass begins.', 'full pass begun');
  const restoring = readHold(root)?.tag;
  return restoring === undefined
    ? done(context, 'Admin-sync goes on.', 'admin-sync resumed')
    : done(
        context,
        `The pause has ended; admin-sync is still held for the restore ${restoring}, until: cmsadm sync resume --tag ${restoring}`,
        `admin-sync resumed, still held for the restore ${restoring}`,
        { tag: restoring },
      );
}

async function endRestore(context: CommandContext, tag: string): Promise<CommandOutcome> {
  const passes = passReportsFrom(
    await duringPass(context, `A full pass after the restore ${tag}; what it removed goes on the other server`, () =>
      askAgent(context, 'syncResume', { tag }, passGoesOn),
    ),
  );
  context.report.show({ kind: 'passes', passes });
  const text = `The restore ${tag} has ended; admin-sync goes on.`;
  return done(context, text, `admin-sync resumed after the restore ${tag}`, { tag, passes });
}

/**
 * Lets a held data set go on as it is now, beginning with a full pass.
 * @throws CmsadmError agent-not-running, not-authority, not-held, data-set-unknown, not-in-step where that pass was not whole
 */
export async function syncRelease(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const { name } = syncParameters.set;
  requireAuthority(context.host, 'A held data set is released on the primary');
  const isAsked = given[name] === undefined;
  const held = isAsked && !context.ask ? [] : await heldSets(context);
  const check = isAsked && context.ask ? oneOf(held, await ownName(context.host)) : someName;
  const answers = await settleAnswers([{ parameter: syncParameters.set, check }], given, context);
  const set = answers[name] ?? '';
  if (set === LEAVE && isAsked) return declined(context, 'sync release');
  const release = (): Promise<unknown> => askAgent(context, 'syncRelease', { set }, passGoesOn);
  // Of another one the agent says why not.
  const passes = passReportsFrom(
    held.includes(set)
      ? await duringPass(context, `A full pass in which ${set} goes across as it is now`, release)
      : await release(),
  );
  context.report.show({ kind: 'passes', passes });
  return done(context, `The data set ${set} goes on as it is now.`, `data set ${set} released`, { set, passes });
}

async function heldSets(context: CommandContext): Promise<string[]> {
  const { sets } = statusFrom(await askAgent(context, 'syncStatus'));
  return sets.filter(({ state }) => state === 'held').map(({ name }) => name);
}

/** @throws CmsadmError not-held where none is */
function oneOf(sets: readonly string[], server: string): (answer: string) => string {
  if (sets.length === 0)
    throw new CmsadmError('not-held', 'No data set is held.', {
      server,
      remedy: '`cmsadm sync status` shows how each data set stands.',
    });
  return (answer) => {
    const typed = answer.trim();
    if (typed === LEAVE || sets.includes(typed)) return typed;
    throw usage(
      typed === '' ? 'No data set was named.' : `${JSON.stringify(typed.slice(0, 60))} is none that is held.`,
      `Held: ${sets.join(', ')}. q leaves.`,
    );
  };
}

/** At a question: nothing is done. */
const LEAVE = 'q';

function someTag(answer: string): string {
  const tag = answer.trim();
  if (/^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/.test(tag)) return tag;
  throw usage(`${JSON.stringify(answer)} is no tag.`, 'Letters, digits and . _ : - are allowed, at most 64; q leaves.');
}

function someName(answer: string): string {
  if (answer.trim() === '') throw usage('No data set was named.', 'Type its name, as `cmsadm sync status` shows it.');
  return answer.trim();
}

function nothingToDo(context: CommandContext, text: string): CommandOutcome {
  context.report.line(text);
  return { exitCode: exitCodes.done, summary: text, result: { outcome: 'nothing to do' } };
}

function done(
  context: CommandContext,
  text: string,
  summary: string,
  more: Readonly<Record<string, unknown>> = {},
): CommandOutcome {
  context.report.line(text);
  return { exitCode: exitCodes.done, summary, result: { outcome: 'done', ...more } };
}
