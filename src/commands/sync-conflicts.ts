import { CmsadmError, exitCodes } from '../errors.ts';
import type { Conflict } from '../pair/sync-reports.ts';
import type { ConflictLine } from '../report.ts';
import type { CommandContext, CommandOutcome, Given } from './context.ts';
import { syncParameters } from './parameters.ts';
import { agentsOfBoth, ownName } from './sync-agents.ts';
import { conflictsFrom } from './sync-answers.ts';
import { comparedTexts } from './sync-copies.ts';

/** A server that could not be asked, and why. */
type Away = { readonly name: string; readonly error: CmsadmError };

/**
 * The conflicts that both servers recorded; with an id, how the kept copy and the file as it is now differ.
 * @throws CmsadmError agent-not-running, conflict-unknown
 */
export async function syncConflicts(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const { conflicts, away } = await conflictsOfBoth(context);
  const id = given[syncParameters.conflict.name];
  if (id !== undefined) return showOne(context, conflicts, id, away);
  const notAsked = away?.name;
  context.report.show({ kind: 'conflicts', conflicts, ...(notAsked === undefined ? {} : { notAsked }) });
  if (away)
    context.report.warn(
      `The conflicts of ${away.name} are not in this list: ${away.error.message} ${away.error.remedy ?? ''}`.trim(),
    );
  return {
    exitCode: exitCodes.done,
    summary: `sync conflicts: ${conflicts.length}`,
    result: { outcome: 'listed', conflicts, notAsked: notAsked ?? null },
  };
}

async function conflictsOfBoth(
  context: CommandContext,
): Promise<{ readonly conflicts: readonly ConflictLine[]; readonly away: Away | undefined }> {
  let away: Away | undefined;
  const conflicts: ConflictLine[] = [];
  for (const { name, own, open } of await agentsOfBoth(context)) {
    try {
      const session = await open();
      try {
        const told = conflictsFrom(await session.call('syncConflicts', {}));
        conflicts.push(...told.map((one) => ({ ...one, server: name })));
      } finally {
        session.close();
      }
    } catch (error) {
      if (own || !(error instanceof CmsadmError)) throw error;
      away = { name, error };
    }
  }
  return { conflicts: conflicts.sort((a, b) => (a.at < b.at ? -1 : 1)), away };
}

async function showOne(
  context: CommandContext,
  conflicts: readonly ConflictLine[],
  id: string,
  away: Away | undefined,
): Promise<CommandOutcome> {
  const conflict = conflicts.find((one) => one.id === id);
  const here = await ownName(context.host);
  if (!conflict && away)
    throw new CmsadmError(
      'conflict-unknown',
      `There is no conflict "${id}" on ${here}, and ${away.name} could not be asked.`,
      {
        server: away.name,
        details: [away.error.message],
        remedy: away.error.remedy ?? 'Run it again when that server can be reached.',
      },
    );
  if (!conflict)
    throw new CmsadmError('conflict-unknown', `There is no conflict "${id}".`, {
      server: here,
      remedy: '`cmsadm sync conflicts` lists them.',
    });
  if (conflict.server !== here)
    throw new CmsadmError('conflict-elsewhere', `The copy of the conflict ${id} lies on ${conflict.server}.`, {
      server: conflict.server,
      remedy: `Run it there: cmsadm sync conflicts ${id}`,
    });
  return shown(context, conflict, id);
}

function shown(context: CommandContext, conflict: Conflict & { readonly server: string }, id: string): CommandOutcome {
  const compared = comparedTexts(context, conflict);
  context.report.show({ kind: 'conflict', conflict, compared });
  return {
    exitCode: exitCodes.done,
    summary: `sync conflicts: ${id} shown`,
    result: {
      outcome: 'shown',
      conflict,
      compared: 'why' in compared ? compared.why : compared.kept === compared.current ? 'same' : 'differs',
    },
  };
}
