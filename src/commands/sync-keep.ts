import { CmsadmError, exitCodes } from '../errors.ts';
import { namedServer } from '../pair/named-server.ts';
import { type Pair, paths, readPair } from '../pair/state.ts';
import type { SetDifference } from '../pair/sync-reports.ts';
import { statusFrom } from '../pair/sync-status.ts';
import { count } from '../printable.ts';
import { during } from '../report.ts';
import { requireAuthority } from './allowed-here.ts';
import { type CommandContext, type CommandOutcome, confirmed, declined, type Given, settleAnswers } from './context.ts';
import { syncParameters } from './parameters.ts';
import { askAgent } from './sync-agents.ts';
import { differencesFrom, passReportsFrom } from './sync-answers.ts';
import { duringPass, passGoesOn } from './sync-now.ts';

/**
 * Decides whose versions of an undecided data set stay; shows first what differs and what is kept aside.
 * @throws CmsadmError not-paired, not-authority, agent-not-running, not-undecided, server-unknown, keep-refused,
 *   keep-incomplete, not-in-step
 */
export async function syncKeep(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const { host, report } = context;
  requireAuthority(host, 'Whose versions stay is decided on the primary');
  const pair = readPair(host.root);
  if (!pair)
    throw new CmsadmError('not-paired', 'This server belongs to no pair.', {
      remedy: 'Set up the roles: cmsadm config_HA setup.',
    });
  const set = await chosenSet(context, given);
  const answers = await settleAnswers(
    [{ parameter: syncParameters.server, check: (text) => pair[namedServer(pair, text)].fqdn }],
    given,
    context,
  );
  const winner = namedServer(pair, answers[syncParameters.server.name] ?? '');
  const [difference] = differencesFrom(
    await during(report, 'Comparing both servers', () => askAgent(context, 'syncDiff', { set })),
  );
  if (difference) report.show({ kind: 'differences', sets: [difference] });
  for (const line of difference ? consequences(pair, winner, difference) : []) report.line(line);
  const kept = { set, kept: pair[winner].fqdn };
  if (context.dryRun)
    return { exitCode: exitCodes.pending, summary: `sync keep: not decided`, result: { outcome: 'pending', ...kept } };
  if (!(await confirmed(context))) return declined(context, `sync keep ${kept.kept}`);
  return decide(context, set, kept.kept);
}

async function decide(context: CommandContext, set: string, server: string): Promise<CommandOutcome> {
  const { report } = context;
  const passes = passReportsFrom(
    await duringPass(context, `Making ${set} on both servers what it is on ${server}`, () =>
      askAgent(
        context,
        'syncKeep',
        { set, server },
        { text: `the admin-sync service goes on with the versions of ${server}`, remedy: passGoesOn.remedy },
      ),
    ),
  );
  report.show({ kind: 'passes', passes });
  const failed = passes.filter(({ ok }) => !ok);
  const result = { set, kept: server, passes };
  const summary = `sync keep: ${set} as on ${server}`;
  if (failed.length === 0) {
    report.line(`${set}: the versions of ${server} stay. The others: cmsadm sync conflicts`);
    return { exitCode: exitCodes.done, summary, result: { outcome: 'done', ...result } };
  }
  const error = new CmsadmError('not-in-step', `The decision for ${server} stands, but not everything is across.`, {
    details: failed.map(({ why }) => why),
    remedy: '`cmsadm sync status` shows what is in the way.',
  });
  return {
    exitCode: error.exitCode,
    summary: `${summary}, not across yet`,
    result: { outcome: 'refused', ...result },
    error,
  };
}

/** The set that was named, or the only one that is undecided. */
async function chosenSet(context: CommandContext, given: Given): Promise<string> {
  const { onlySet } = syncParameters;
  const undecided = statusFrom(await askAgent(context, 'syncStatus'))
    .sets.filter(({ state }) => state === 'undecided')
    .map(({ name }) => name);
  const check = (text: string): string => {
    if (undecided.includes(text.trim())) return text.trim();
    throw new CmsadmError('not-undecided', `The data set ${JSON.stringify(text)} waits for no decision.`, {
      remedy: undecided.length === 0 ? 'Nothing does.' : `Undecided: ${undecided.join(', ')}.`,
    });
  };
  const [only, second] = undecided;
  if (given[onlySet.name] === undefined) {
    if (only === undefined)
      throw new CmsadmError('not-undecided', 'No data set waits for a decision.', {
        remedy: '`cmsadm sync status` shows how each data set stands.',
      });
    if (second === undefined) return only;
  }
  const answers = await settleAnswers([{ parameter: onlySet, check }], given, context);
  return answers[onlySet.name] ?? '';
}

/** What happens to the server whose versions lose, in the numbers of the difference. */
function consequences(
  pair: Pair,
  winner: 'primary' | 'secondary',
  { set, onlyHere, different, onlyThere, more }: SetDifference,
): string[] {
  const loser = pair[winner === 'primary' ? 'secondary' : 'primary'].fqdn;
  // The difference is told from the primary, where this runs.
  const [made, removed] = winner === 'primary' ? [onlyHere, onlyThere] : [onlyThere, onlyHere];
  return [
    '',
    `The versions of ${pair[winner].fqdn} stay. On ${loser} ${count(different.length, 'name')} ${different.length === 1 ? 'is' : 'are'} replaced, ` +
      `${removed.length} removed and ${made.length} made${more ? ' (at least)' : ''}.`,
    `What ${loser} has now is kept there, below ${paths.kept}/${set}; its own versions are listed: cmsadm sync conflicts`,
  ];
}
