import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import { namedServer } from '../pair/named-server.ts';
import { type Pair, readPair } from '../pair/state.ts';
import type { PassReport } from '../pair/sync-reports.ts';
import type { Agent, Request } from './agent.ts';
import { readConflicts } from './conflicts.ts';
import { heldError, hold, pause, readHold, readPause, resume } from './paused.ts';
import { hasAuthority } from './standing.ts';

const none = v.optional(v.strictObject({}), {});
const by = v.pipe(v.string(), v.maxLength(64));
const pauseArgs = v.strictObject({ by });
const tag = v.pipe(v.string(), v.regex(/^[A-Za-z0-9][A-Za-z0-9._:-]{0,63}$/));
const holdArgs = v.strictObject({ by, tag });
const resumeArgs = v.optional(v.strictObject({ tag: v.optional(tag) }), {});
const keepArgs = v.strictObject({ set: v.string(), server: v.string() });
const setArgs = v.strictObject({ set: v.string() });
const maybeSet = v.optional(v.strictObject({ set: v.optional(v.string()) }), {});
const drainArgs = v.strictObject({ seconds: v.pipe(v.number(), v.minValue(1), v.maxValue(3600)) });

/**
 * What the operator's commands ask of this server's agent, as verbs of its socket.
 *
 * Errors: not-paired, not-authority (names the primary), data-set-unknown, not-held, not-in-step, not-connected,
 * not-undecided, server-unknown, keep-refused, keep-incomplete, sync-held, restore-unknown.
 */
export function controlVerbs(agent: Agent): Record<string, (args: unknown) => Promise<unknown>> {
  const { host, profile } = agent;
  const known = (set: string | undefined): void => {
    if (set === undefined || agent.sets.has(set)) return;
    throw new CmsadmError('data-set-unknown', `The profile ${profile.name} has no data set "${set}".`, {
      remedy: `Its data sets: ${[...agent.sets.keys()].join(', ') || 'none'}.`,
    });
  };
  const asked = (request: Request, seconds?: number): Promise<unknown> => {
    requireAuthority(agent);
    return agent.ask(request, seconds);
  };
  return {
    syncStatus: async (args) => {
      v.parse(none, args ?? {});
      return agent.status();
    },
    syncNow: async (args) => {
      v.parse(none, args ?? {});
      return asked({ kind: 'pass' });
    },
    syncDiff: async (args) => {
      const { set } = v.parse(maybeSet, args ?? {});
      known(set);
      return asked({ kind: 'difference', ...(set === undefined ? {} : { set }) });
    },
    syncRelease: async (args) => {
      const { set } = v.parse(setArgs, args);
      known(set);
      requireAuthority(agent);
      if (agent.status().sets.find(({ name }) => name === set)?.state !== 'held')
        throw new CmsadmError('not-held', `The data set ${set} is not held.`, {
          remedy: '`cmsadm sync status` shows how each data set stands.',
        });
      const reports = (await agent.ask({ kind: 'release', set })) as PassReport[];
      const report = reports.find((one) => one.set === set);
      if (report?.ok !== true)
        throw new CmsadmError('not-in-step', `The data set ${set} was let go, but its full pass was not whole.`, {
          details: report ? [report.why] : [],
          remedy: 'Put that right; where the set is held anew then, release it again.',
        });
      return reports;
    },
    syncKeep: async (args) => {
      const { set, server } = v.parse(keepArgs, args);
      known(set);
      const pair = requireAuthority(agent);
      return agent.ask({ kind: 'keep', set, keeps: namedServer(pair, server) });
    },
    syncDrain: async (args) => asked({ kind: 'drain' }, v.parse(drainArgs, args).seconds),
    syncPause: async (args) => {
      const { by } = v.parse(pauseArgs, args);
      requireAuthority(agent);
      pause(host, by);
      agent.bell.ring();
      return null;
    },
    /** Answers when nothing is under way any more. */
    syncHold: async (args) => {
      const wanted = v.parse(holdArgs, args);
      requireAuthority(agent);
      hold(host, wanted.tag, wanted.by);
      agent.event('sync-held', `for the restore ${wanted.tag} by ${wanted.by}`);
      if (agent.isFollowing()) await agent.ask({ kind: 'quiet' });
      else await agent.senders.taking;
      return null;
    },
    /** With the tag of a restore: ends its hold with a full pass in which what vanished goes there as well. */
    syncResume: async (args) => {
      const { tag: restored } = v.parse(resumeArgs, args ?? {});
      requireAuthority(agent);
      const held = readHold(host.root);
      if (restored !== undefined) {
        if (held?.tag === restored) return agent.ask({ kind: 'restored', tag: restored });
        if (held) throw heldError(held);
        throw new CmsadmError('restore-unknown', `Admin-sync is not held for a restore ${restored}.`, {
          remedy: '`cmsadm sync status` shows how it stands.',
        });
      }
      if (held && !readPause(host.root)) throw heldError(held);
      resume(host);
      if (agent.isFollowing() && !held) agent.tell({ state: 'a full pass after the pause' });
      // Events of what is gone may be gone too, however short the pause was. Without a session the next one begins with a pass.
      agent.ask({ kind: 'pass' }).catch(() => undefined);
      return null;
    },
    syncConflicts: async (args) => {
      v.parse(none, args ?? {});
      return readConflicts(host);
    },
  };
}

function requireAuthority({ host }: Agent): Pair {
  const pair = readPair(host.root);
  if (!pair)
    throw new CmsadmError('not-paired', 'This server belongs to no pair.', {
      remedy: 'Set up the roles: cmsadm config_HA setup.',
    });
  if (hasAuthority(host, pair)) return pair;
  throw new CmsadmError('not-authority', `This server is the secondary; ${pair.primary.fqdn} is the primary.`, {
    remedy: `Run the command on ${pair.primary.fqdn}.`,
  });
}
