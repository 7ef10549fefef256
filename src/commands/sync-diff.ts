import { exitCodes } from '../errors.ts';
import { count } from '../printable.ts';
import { during } from '../report.ts';
import type { CommandContext, CommandOutcome, Given } from './context.ts';
import { syncParameters } from './parameters.ts';
import { askAgent } from './sync-agents.ts';
import { differencesFrom } from './sync-answers.ts';

/**
 * What differs between the two servers, of one data set or of all; nothing is sent.
 * @throws CmsadmError agent-not-running, not-authority, data-set-unknown
 */
export async function syncDiff(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const set = given[syncParameters.set.name];
  const sets = differencesFrom(
    await during(context.report, 'Comparing both servers', () =>
      askAgent(context, 'syncDiff', set === undefined ? {} : { set }),
    ),
  );
  context.report.show({ kind: 'differences', sets });
  const names = sets.flatMap(({ onlyHere, different, onlyThere }) => [...onlyHere, ...different, ...onlyThere]).length;
  return {
    exitCode: exitCodes.done,
    summary: names === 0 ? 'sync diff: nothing differs' : `sync diff: ${count(names, 'name')} shown`,
    result: { outcome: names === 0 ? 'nothing differs' : 'differs', sets },
  };
}
