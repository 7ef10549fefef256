import { callAgent, openAgent } from '../agent/socket.ts';
import { loginToAgent } from '../change/remote-server.ts';
import { CmsadmError } from '../errors.ts';
import type { Session } from '../host/session.ts';
import type { Host } from '../host/system.ts';
import { type Link, readLink } from '../pair/state.ts';
import { statusFrom } from '../pair/sync-status.ts';
import type { SyncView } from '../report.ts';
import type { CommandContext, GoesOn } from './context.ts';

/** How a server is called before it has a link. */
export async function ownName({ root, system }: Host): Promise<string> {
  return readLink(root)?.self.fqdn ?? (await system.identity()).hostname;
}

/**
 * Asks this server's agent one thing.
 * @param goesOn what it does from then on, whether somebody waits for the answer or not; undefined: nothing
 * @throws CmsadmError agent-not-running; the verb's own errors, which name this server
 */
export async function askAgent(
  { host, asked }: CommandContext,
  verb: string,
  args: unknown = {},
  goesOn?: GoesOn,
): Promise<unknown> {
  asked.goesOn = goesOn;
  try {
    return await inOurWords(host, () => callAgent(host, verb, args));
  } finally {
    asked.goesOn = undefined;
  }
}

/** What is in the way of this server's agent, with the server's name. */
async function inOurWords<T>(host: Host, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw error instanceof CmsadmError ? ofServer(error, await ownName(host)) : error;
  }
}

function ofServer(error: CmsadmError, name: string): CmsadmError {
  if (error.code === 'session-lost')
    return new CmsadmError('agent-not-running', 'The admin-sync service of this server ended before it answered.', {
      server: name,
      remedy: 'Look why: journalctl -u cmsadm-agent. Then start it: systemctl start cmsadm-agent.',
      cause: error,
    });
  return new CmsadmError(error.code, error.message, {
    server: name,
    exitCode: error.exitCode,
    details: error.details,
    ...(error.remedy === undefined ? {} : { remedy: error.remedy }),
    ...(error.file === undefined ? {} : { file: error.file }),
    cause: error,
  });
}

/** One server whose agent may be asked. */
export type AgentOf = {
  readonly name: string;
  /** True for this server. */
  readonly own: boolean;
  open(): Promise<Session>;
};

/** This server's agent and, over the pair's link, the other one's. */
export async function agentsOfBoth({ host }: CommandContext): Promise<AgentOf[]> {
  const link = readLink(host.root);
  const own = { name: await ownName(host), own: true, open: () => inOurWords(host, () => openAgent(host.root)) };
  return link ? [own, { name: link.peer.fqdn, own: false, open: () => openOther(host, link) }] : [own];
}

/** @throws CmsadmError those of a login; agent-not-running where no agent answers there */
async function openOther(host: Host, link: Link): Promise<Session> {
  try {
    return await loginToAgent(host, link);
  } catch (error) {
    if (!(error instanceof CmsadmError) || error.code !== 'no-greeting') throw error;
    throw new CmsadmError('agent-not-running', `The admin-sync service of ${link.peer.fqdn} does not answer.`, {
      server: link.peer.fqdn,
      remedy: `Start it there: systemctl start cmsadm-agent. If it stops again: journalctl -u cmsadm-agent.`,
      cause: error,
    });
  }
}

/** Asks an agent for its status over a session; what is in the way stands in the view. */
export async function viewOf(name: string, session: () => Promise<Session>): Promise<SyncView> {
  try {
    const status = statusFrom(await (await session()).call('syncStatus', {}));
    const now = Date.parse(status.at);
    const sets = status.sets.map((set) => ({
      ...set,
      lagSeconds: set.oldest === null ? null : Math.max(0, (now - Date.parse(set.oldest)) / 1000),
    }));
    return { name, reachable: true, status: { ...status, sets } };
  } catch (error) {
    if (!(error instanceof CmsadmError)) throw error;
    const { code, message, remedy } = error;
    return { name, reachable: false, error: { code, message, remedy: remedy ?? null } };
  }
}
