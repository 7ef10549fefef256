import type { Change } from '../change/change.ts';
import { transactions } from '../change/journal.ts';
import { locked } from '../change/lock.ts';
import { localServer, type Server } from '../change/server.ts';
import { CmsadmError } from '../errors.ts';
import type { Run } from '../ha/answers.ts';
import { fingerprintOrder } from '../ha/order.ts';
import type { Review } from '../ha/review.ts';
import { fingerprint } from '../host/ssh-client.ts';
import { type Facts, familyOf } from '../pair/facts.ts';
import { makeTag, tagOf } from '../pair/tag.ts';
import type { ServerResult } from '../report.ts';
import type { CommandContext } from './context.ts';

/** A server's place in the order of locks. */
export const lockPlace = (
  name: string,
  server: Server,
  facts: Facts,
): { name: string; server: Server; fingerprint: string } => {
  const key = fingerprintOrder(facts.hostKeys)[0];
  return { name, server, fingerprint: key ? fingerprint(key) : name };
};

/**
 * Refuses while an earlier change is open or somebody else is at it.
 * @throws CmsadmError locked, unfinished
 */
export async function refuseIfBusy(server: Server, name: string): Promise<void> {
  const { lock, unfinished } = await server.standing();
  if (lock) throw locked(lock, name);
  if (unfinished.length > 0)
    throw new CmsadmError('unfinished', `An earlier change of ${name} is not settled: ${unfinished.join(', ')}.`, {
      server: name,
      remedy: `Run \`cmsadm recover\` on ${name}.`,
    });
}

/** Tag and operator of the change that this command is going to make. */
export const runOf = ({ host, pid, operator }: CommandContext): Run => ({
  tag: makeTag(pid, host.system.clock(), transactions(host.root).map(tagOf)),
  operator,
});

/** What the result screen tells of one server. */
export const resultOf = (
  name: string,
  role: string | undefined,
  changes: readonly Change[],
  verified: readonly string[],
): ServerResult => ({
  name,
  role,
  files: changes.flatMap(({ files }) => files.map(({ path }) => path)),
  services: [
    ...new Set(
      changes.flatMap(({ services }) => [...services.reload, ...services.restart, ...services.start, ...services.stop]),
    ),
  ],
  verified,
});

/** The local server's verbs; needs the family first. */
export const localContextServer = ({ host, profile }: CommandContext): Server =>
  localServer({ host, profile, family: familyOf(host), carriedIn: undefined });

export const notPrimary = (what: string, primary: string): CmsadmError =>
  new CmsadmError('not-primary', `This server is the secondary; only the primary may ${what}.`, {
    remedy: `Log in to ${primary} and run it there.`,
  });

// JSON tells what happens to which file; contents are for the screen only.
export const reviewFacts = (review: Review): unknown => ({
  ...review,
  servers: review.servers.map((server) => ({
    ...server,
    files: server.files.map(({ path, real, otherNames, what }) => ({
      path,
      ...(real === undefined ? {} : { real }),
      ...(otherNames === undefined ? {} : { otherNames }),
      what,
    })),
  })),
});
