import * as v from 'valibot';
import { unfinishedRoles } from '../change/journal.ts';
import type { Session } from '../host/session.ts';
import type { Host } from '../host/system.ts';
import { type Pair, parsePair, readLink, readPair, roleOf } from '../pair/state.ts';
import { answered } from './answers.ts';
import { allUndecided, undecidedSchema } from './undecided.ts';

/** What a server says of itself when it is asked. */
const standingSchema = v.object({
  /** Of the saved pair; 0 on a single server. */
  epoch: v.number(),
  pair: v.nullable(
    v.pipe(
      v.unknown(),
      v.transform((value): Pair => parsePair(JSON.stringify(value))),
    ),
  ),
  /** False while a change is being made that may still be put back. */
  settled: v.boolean(),
  /** Data sets of which nothing is taken there until a person decided whose versions stay. */
  undecided: v.optional(v.record(v.string(), undecidedSchema), {}),
});
export type Standing = v.InferOutput<typeof standingSchema>;

/** This server's view of the pair. The epoch is the saved pair's: the high-water mark also counts changes that were put back. */
export function standingOf(host: Host): Standing {
  const pair = readPair(host.root) ?? null;
  const settled = unfinishedRoles(host.root).length === 0;
  return { epoch: pair?.epoch ?? 0, pair, settled, undecided: allUndecided(host.root) };
}

/**
 * True if this server may administer and is the source of the sync: for both values of `authority` the configured
 * primary, until a server can become active without being made primary (docs/admin-sync.md).
 */
export function hasAuthority(host: Host, pair: Pair): boolean {
  const link = readLink(host.root);
  return link !== undefined && roleOf(pair, link.self.address) === 'primary';
}

/** Asks the other server how it stands; it refuses no epoch here. @throws CmsadmError session-lost, answer-refused, state-unreadable */
export const askStanding = async (session: Session, epoch: number): Promise<Standing> =>
  answered(standingSchema, await session.call('heartbeat', { epoch }));
