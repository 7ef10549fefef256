import { exitCodes } from '../errors.ts';
import { type CommandContext, type CommandOutcome, type Given, settleAnswers, usage } from './context.ts';
import { syncParameters } from './parameters.ts';
import { askAgent } from './sync-agents.ts';

/** Nothing is sent any more, until it is resumed. @throws CmsadmError agent-not-running, not-authority */
export async function syncPause(context: CommandContext): Promise<CommandOutcome> {
  // The agent takes no longer name.
  await askAgent(context, 'syncPause', { by: context.operator.slice(0, 64) });
  return done(context, 'Admin-sync is paused, also over a restart, until `cmsadm sync resume`.', 'admin-sync paused');
}

/** Sends again, beginning with what changed meanwhile. @throws CmsadmError agent-not-running, not-authority */
export async function syncResume(context: CommandContext): Promise<CommandOutcome> {
  await askAgent(context, 'syncResume');
  return done(context, 'Admin-sync goes on.', 'admin-sync resumed');
}

/** Lets a held data set go on as it is now. @throws CmsadmError agent-not-running, not-authority, not-held, data-set-unknown */
export async function syncRelease(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const { name } = syncParameters.set;
  const answers = await settleAnswers([{ parameter: syncParameters.set, check: someName }], given, context);
  const set = answers[name] ?? '';
  await askAgent(context, 'syncRelease', { set });
  return done(context, `The data set ${set} goes on as it is now.`, `data set ${set} released`, { set });
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
