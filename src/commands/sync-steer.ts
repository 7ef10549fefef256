import { readHold } from '../agent/paused.ts';
import { exitCodes } from '../errors.ts';
import { during } from '../report.ts';
import { type CommandContext, type CommandOutcome, type Given, settleAnswers, usage } from './context.ts';
import { syncParameters } from './parameters.ts';
import { askAgent } from './sync-agents.ts';
import { passReportsFrom } from './sync-answers.ts';

/** Nothing is sent any more, until it is resumed. @throws CmsadmError agent-not-running, not-authority */
export async function syncPause(context: CommandContext): Promise<CommandOutcome> {
  // The agent takes no longer name.
  await askAgent(context, 'syncPause', { by: context.operator.slice(0, 64) });
  return done(context, 'Admin-sync is paused, also over a restart, until `cmsadm sync resume`.', 'admin-sync paused');
}

/**
 * Sends nothing from now on, until the restore with this tag has ended; what was under way is across.
 * @throws CmsadmError agent-not-running, not-authority, sync-held
 */
export async function syncHold(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const { name } = syncParameters.restore;
  const answers = await settleAnswers([{ parameter: syncParameters.restore, check: someTag }], given, context);
  const tag = answers[name] ?? '';
  await during(context.report, 'Waiting for what is under way', () =>
    askAgent(context, 'syncHold', { tag, by: context.operator.slice(0, 64) }),
  );
  const text = `Admin-sync is held for the restore ${tag}, also over a restart, until: cmsadm sync resume --tag ${tag}`;
  return done(context, text, `admin-sync held for the restore ${tag}`, { tag });
}

/**
 * Sends again, beginning with what changed meanwhile; with the tag of a restore, with one full pass in which what the
 * restore removed goes on the other server too.
 * @throws CmsadmError agent-not-running, not-authority, sync-held, restore-unknown, not-in-step
 */
export async function syncResume(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const tag = given[syncParameters.restored.name];
  if (tag !== undefined) return endRestore(context, someTag(tag));
  await askAgent(context, 'syncResume');
  const restoring = readHold(context.host.root)?.tag;
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
    await during(context.report, `A full pass after the restore ${tag}; what it removed goes on the other server`, () =>
      askAgent(context, 'syncResume', { tag }),
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
  const answers = await settleAnswers([{ parameter: syncParameters.set, check: someName }], given, context);
  const set = answers[name] ?? '';
  await askAgent(context, 'syncRelease', { set });
  return done(context, `The data set ${set} goes on as it is now.`, `data set ${set} released`, { set });
}

function someTag(answer: string): string {
  const tag = answer.trim();
  if (/^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/.test(tag)) return tag;
  throw usage(`${JSON.stringify(answer)} is no tag.`, 'Letters, digits and . _ : - are allowed, at most 64.');
}

function someName(answer: string): string {
  if (answer.trim() === '') throw usage('No data set was named.', 'Type its name, as `cmsadm sync status` shows it.');
  return answer.trim();
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
