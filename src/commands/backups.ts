import { withLocks } from '../change/coordinator.ts';
import { CmsadmError, exitCodes } from '../errors.ts';
import { type KeptTag, keptTags, planPrune } from '../ha/prune.ts';
import type { Link } from '../pair/state.ts';
import { count } from '../printable.ts';
import { during } from '../report.ts';
import { checkCount } from './checks.ts';
import type { Peer } from './contact.ts';
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
import { type Named, onlyThis, type ServersThere, serversThere } from './pair-of-servers.ts';
import { backupsParameters } from './parameters.ts';
import { lockPlace } from './run-plan.ts';
import { settleFirst } from './settle-first.ts';

/** List the backups that earlier changes left on both servers; with `--prune`, or a `y` after the list, remove old ones. */
export async function backups(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const { prune: wanted, keep, days, alone } = backupsParameters;
  const prunes = given[wanted.name] !== undefined;
  if (!prunes && (given[keep.name] ?? given[days.name]) !== undefined)
    throw usage('--keep and --days are the rule of --prune.', 'cmsadm config_HA backups --prune --keep 10 --days 30');
  if (prunes) {
    requireSomebody(context);
    await settleFirst(context);
  }
  const asked = given[alone.name] === undefined ? await serversThere(context) : await onlyThis(context);
  const { away } = asked;
  try {
    if (prunes && away)
      throw new CmsadmError(away.code, away.message, {
        ...(away.server === undefined ? {} : { server: away.server }),
        remedy: 'Bring it back, or prune on this server only: cmsadm config_HA backups --prune --alone.',
        cause: away,
      });
    const kept = keptTags(
      await Promise.all(asked.servers.map(async ({ name, server }) => ({ name, tags: await server.backups() }))),
    );
    if (!prunes) {
      const notes = away ? [away.message] : [];
      context.report.show({ kind: 'backups', title: 'Backups, newest first', tags: kept, notes });
      const more = context.ask && kept.length > 0 && !away && !context.dryRun;
      if (!more || (await context.ask.choose('Remove old ones? (y/n):', ['y', 'n'])) === 'n')
        return { exitCode: exitCodes.done, summary: 'backups: listed', result: { outcome: 'listed', tags: kept } };
    }
    return await prune(context, given, asked, kept);
  } finally {
    asked.peer?.session.close();
  }
}

async function prune(
  context: CommandContext,
  given: Given,
  asked: ServersThere,
  kept: readonly KeptTag[],
): Promise<CommandOutcome> {
  const { keep, days } = backupsParameters;
  const answers = await settleAnswers(
    [
      // One stays at least: the last change can always be undone.
      { parameter: keep, preset: '10', check: (text) => checkCount(text, 1, 10_000) },
      { parameter: days, preset: '30', check: (text) => checkCount(text, 0, 36_500) },
    ],
    given,
    context,
  );
  const rule = { keep: Number(answers[keep.name]), days: Number(answers[days.name]) };
  const goes = planPrune(kept, rule, context.host.system.clock());
  const told = { rule, goes };
  context.report.show({ kind: 'backups', title: 'These backups go', tags: goes, notes: notesOf(asked, kept, goes) });
  if (goes.length === 0)
    return {
      exitCode: exitCodes.done,
      summary: 'backups: nothing to prune',
      result: { outcome: 'nothing to do', ...told },
    };
  if (context.dryRun)
    return {
      exitCode: exitCodes.pending,
      summary: `backups: dry run, ${count(goes.length, 'tag')} would go`,
      result: { outcome: 'pending', ...told },
    };
  const list = (): void => {
    for (const path of goes.flatMap(({ servers }) => servers.flatMap(filesOf))) context.report.line(path);
  };
  if (!(await confirmed(context, list, 'files'))) return declined(context, 'prune backups');
  const servers = await carryOut(context, asked, goes);
  return {
    exitCode: exitCodes.done,
    summary: `backups: pruned ${goes.map(({ tag }) => tag).join(', ')}`,
    result: { outcome: 'done', ...told, servers },
  };
}

const filesOf = ({ name, files }: KeptTag['servers'][number]): string[] => files.map(({ path }) => `${name}: ${path}`);

const notesOf = ({ servers, link }: ServersThere, kept: readonly KeptTag[], goes: readonly KeptTag[]): string[] => [
  `${count(kept.length - goes.length, 'tag')} more: backups stay.`,
  ...(link && servers.length === 1
    ? [`${link.peer.fqdn} is not asked and keeps its own; a tag that goes here can't be restored on both any more.`]
    : []),
];

type PrunedServer = { readonly name: string; readonly files: readonly string[]; readonly bytes: number };

/** Removes them, server by server; what fails on one does not hide what was done on the other. */
async function carryOut(
  context: CommandContext,
  { servers, link, peer }: ServersThere,
  goes: readonly KeptTag[],
): Promise<PrunedServer[]> {
  const [own, ...others] = servers;
  if (!own) throw new Error('this server is always asked');
  const claim = { operation: 'prune backups', operator: context.operator, startedOn: own.name };
  const places = await placesOf(context, servers, link, peer);
  return withLocks(places, claim, async () => {
    const done: PrunedServer[] = [];
    for (const { name, server } of [...others, own]) {
      const tags = goes.filter((one) => one.servers.some((at) => at.name === name)).map(({ tag }) => tag);
      try {
        if (context.stop.requested)
          throw new CmsadmError('interrupted', 'Interrupted.', { exitCode: exitCodes.interrupted });
        done.push({
          name,
          ...(await during(context.report, `Removing old backups on ${name}`, () => server.prune({ tags }))),
        });
      } catch (error) {
        if (!(error instanceof CmsadmError)) throw error;
        throw unfinishedPrune(error, name, done);
      }
    }
    return done;
  });
}

const unfinishedPrune = (cause: CmsadmError, name: string, done: readonly PrunedServer[]): CmsadmError =>
  new CmsadmError(cause.code, `The old backups of ${name} were not all removed: ${cause.message}`, {
    server: name,
    exitCode: cause.exitCode === exitCodes.interrupted ? exitCodes.interrupted : exitCodes.needsPerson,
    details: [...cause.details, ...done.map((one) => `${one.name}: ${count(one.files.length, 'file')} removed.`)],
    remedy: 'Remove the cause and run the command again with the same rule: it goes on where it ended.',
    ...(cause.file === undefined ? {} : { file: cause.file }),
    cause,
  });

/** Where locks are taken; their order matters only where there are two. */
async function placesOf(
  context: CommandContext,
  servers: readonly Named[],
  link: Link | undefined,
  peer: Peer | undefined,
): Promise<ReturnType<typeof lockPlace>[]> {
  if (!link || !peer) return servers.map(({ name, server }) => ({ name, server, fingerprint: name }));
  const about = [link.peer, link.self];
  return during(context.report, 'Reading the facts of both servers', () =>
    Promise.all(
      servers.map(async ({ name, server }, i) => lockPlace(name, server, await server.facts(about[i] ?? link.peer))),
    ),
  );
}
