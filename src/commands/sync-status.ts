import { setTimeout as sleep } from 'node:timers/promises';
import { CmsadmError, exitCodes } from '../errors.ts';
import type { Session } from '../host/session.ts';
import type { SyncView } from '../report.ts';
import type { CommandContext, CommandOutcome, Given } from './context.ts';
import { syncParameters } from './parameters.ts';
import { type AgentOf, agentsOfBoth, viewOf } from './sync-agents.ts';

/** Milliseconds between two looks of `--watch`. */
const EVERY = 1_000;

/** How admin-sync stands, as the agents of both servers tell; with `watch` again and again. */
export async function syncStatus(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const watchers = (await agentsOfBoth(context)).map(makeWatcher);
  try {
    if (given[syncParameters.watch.name] !== undefined) return await watch(context, watchers);
    const views = await Promise.all(watchers.map(({ look }) => look()));
    context.report.show({ kind: 'sync', views });
    return outcomeOf(views);
  } finally {
    for (const { end } of watchers) end();
  }
}

/** Until the operator ends it (Ctrl-C), or nobody reads any more. */
async function watch(context: CommandContext, watchers: readonly Watcher[]): Promise<CommandOutcome> {
  let views: readonly SyncView[] = [];
  do {
    views = await Promise.all(watchers.map(({ look }) => look()));
    if (!context.report.live({ kind: 'sync', views })) break;
    await sleep(EVERY);
  } while (!context.stop.requested);
  return outcomeOf(views);
}

function outcomeOf(views: readonly SyncView[]): CommandOutcome {
  const [own] = views;
  const outcome = { exitCode: exitCodes.done, result: { outcome: 'done', servers: views } };
  if (own?.status) return { ...outcome, summary: `sync status: ${own.status.state}` };
  const { code = 'agent-not-running', message = '', remedy = null } = own?.error ?? {};
  const error = new CmsadmError(code, message, {
    ...(own ? { server: own.name } : {}),
    ...(remedy === null ? {} : { remedy }),
  });
  return {
    exitCode: error.exitCode,
    summary: `sync status: ${message}`,
    result: { ...outcome.result, outcome: 'refused' },
    error,
  };
}

type Watcher = { look(): Promise<SyncView>; end(): void };

/** Keeps its session from look to look; a lost one is opened again with the next. */
function makeWatcher({ name, open }: AgentOf): Watcher {
  let session: Session | undefined;
  const opened = async (): Promise<Session> => {
    if (session) return session;
    const fresh = await open();
    void fresh.closed.then(() => {
      if (session === fresh) session = undefined;
    });
    session = fresh;
    return fresh;
  };
  return { look: () => viewOf(name, opened), end: () => session?.close() };
}
