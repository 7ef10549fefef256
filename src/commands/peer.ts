import type { Readable, Writable } from 'node:stream';
import * as v from 'valibot';
import { standingOf } from '../agent/standing.ts';
import { takeAwayTheRest } from '../change/afterwards.ts';
import { transactions, unfinished } from '../change/journal.ts';
import { releaseLock } from '../change/lock.ts';
import { recover } from '../change/recover.ts';
import { type Context, localServer, type Server } from '../change/server.ts';
import { CmsadmError } from '../errors.ts';
import { versionOf } from '../host/program-version.ts';
import { readText } from '../host/root.ts';
import { serveSession } from '../host/session.ts';
import type { Host } from '../host/system.ts';
import { familyOf } from '../pair/facts.ts';
import { paths } from '../pair/state.ts';
import { steps, transactionId } from '../pair/tag.ts';
import { type Profile, profileSchema } from '../profile/schema.ts';
import { releaseVerbs } from './releases.ts';

const verbNames = [
  ...[
    'facts',
    'standing',
    'lock',
    'unlock',
    'key',
    'installProgram',
    'removeProgram',
    'stage',
    'arm',
    'commit',
    'asked',
    'confirm',
  ],
  ...['putBack', 'outcome', 'recover', 'proveLogin', 'tags', 'tag', 'backups', 'prune', 'endOwner', 'administered'],
] as const satisfies readonly (keyof Server)[] | readonly string[];

/**
 * The peer's side of a session: fixed verbs only. A session that ends before its change is confirmed puts it back.
 * @param origin the private folder of a first contact, and the connection by which the caller came
 */
export async function servePeer(
  host: Host,
  profile: Profile,
  origin: Pick<Context, 'carriedIn' | 'seenFrom' | 'cameTo'>,
  input: Readable,
  output: Writable,
): Promise<void> {
  const family = familyOf(host);
  let active = profile;
  let server = localServer({ host, profile, family, ...origin });
  const mine = new Set<string>();
  let locked = false;
  const call = (name: string) => async (args: unknown) => {
    const verb = Object.entries(server).find(([known]) => known === name)?.[1] as
      | ((args: unknown) => Promise<unknown>)
      | undefined;
    // Before it is done: a stage that fails may leave something to be settled.
    if (name === 'stage') for (const id of toBegin(host, args)) mine.add(id);
    const result = await verb?.(args);
    if (name === 'lock') locked = true;
    return result;
  };
  const verbs = {
    ...Object.fromEntries(verbNames.map((name) => [name, call(name)])),
    ...releaseVerbs(host, active),
    ping: async () => 'pong',
    heartbeat: async () => standingOf(host),
    acds: async (args: unknown) => {
      // Most sessions never ask: they shall not wait for it to load.
      const { acdsAsked, acdsHere } = await import('../acd/standing.ts');
      return acdsHere(host, active, v.parse(acdsAsked, args));
    },
    useProfile: async (args: unknown) => {
      // A server with settings of its own keeps them: paths come only from its own table.
      if (readText(host.root, paths.settings) !== undefined || readText(host.root, paths.link) !== undefined)
        return false;
      const offered = v.safeParse(v.object({ profile: profileSchema }), args);
      if (!offered.success) throw new CmsadmError('profile-invalid', 'The offered profile does not fit this version.');
      active = offered.output.profile;
      server = localServer({ host, profile: active, family, ...origin });
      return true;
    },
  };
  try {
    await serveSession(input, output, verbs, versionOf(host.programRoot));
  } finally {
    for (const id of unfinished(host.root)) if (mine.has(id)) await recover(host, id, 'itself');
    if (locked) releaseLock(host);
    // What stays here is taken away by the operator's recover.
    await takeAwayTheRest(host, origin.carriedIn).catch(() => undefined);
  }
}

const stageArgs = v.object({ change: v.object({ tag: v.string(), step: v.picklist(steps) }) });

/** The transaction that a stage is about to begin; none where it was begun before, by somebody else. */
function toBegin({ root }: Host, args: unknown): string[] {
  const asked = v.safeParse(stageArgs, args);
  if (!asked.success) return [];
  const id = transactionId(asked.output.change.tag, asked.output.change.step);
  return transactions(root).includes(id) ? [] : [id];
}
