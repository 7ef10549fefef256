import { runChange, type Sides } from '../change/coordinator.ts';
import { loginToPeer, refuseOtherVersion, remoteServer } from '../change/remote-server.ts';
import { CmsadmError, exitCodes } from '../errors.ts';
import type { BothFacts } from '../ha/answers.ts';
import type { Review } from '../ha/review.ts';
import type { Release, ReleaseFacts } from '../ha/upgrade.ts';
import type { HaPackage } from '../packages/ha-package.ts';
import { during } from '../report.ts';
import type { Peer } from './contact.ts';
import type { CommandContext } from './context.ts';
import { linksOf, type OwnStanding } from './pair-of-servers.ts';
import type { Releases } from './releases.ts';

/** One server of an upgrade: what it says of its releases, and how to change them. */
export type Place = { readonly releases: Releases; readonly facts: ReleaseFacts };
type Places = { readonly local: Place; readonly peer: Place };

/** Everything that is known when the operator is asked for his `y`. */
export type Prepared = {
  readonly own: OwnStanding;
  readonly peer: Peer;
  readonly facts: BothFacts;
  readonly places: Places;
  /** Undefined on the way back to a release that is kept. */
  readonly haPackage: HaPackage | undefined;
  readonly to: Release;
  readonly sides: Sides;
  readonly review: Review;
};

/** Unpacks, switches, proves. What fails leaves both servers with the releases that they had. */
export async function carryOut(context: CommandContext, prepared: Prepared): Promise<void> {
  const { sides, facts, places, haPackage, to } = prepared;
  try {
    for (const side of ['peer', 'local'] as const)
      if (haPackage && sides[side].change.program)
        await during(context.report, `Unpacking cmsadm ${to.version} on ${sides[side].name}`, () =>
          places[side].releases.stage(haPackage),
        );
    await runChange(proving(context, prepared), linksOf(facts), context.report, context.stop);
  } catch (error) {
    // While one of them is not settled, its releases are not ours to take away.
    if (error instanceof CmsadmError && error.exitCode !== exitCodes.needsPerson)
      await tidy(context, prepared, namesOf);
    throw error;
  }
}

/**
 * The proof of an upgrade: from here the new version must greet on the other server, and a fresh session there, so the
 * new program, must be greeted by the new version here.
 */
function proving(context: CommandContext, { sides, facts, to: { version } }: Prepared): Sides {
  const links = linksOf(facts);
  return {
    local: {
      ...sides.local,
      server: { ...sides.local.server, proveLogin: ({ link }) => sides.local.server.proveLogin({ link, version }) },
    },
    peer: {
      ...sides.peer,
      server: {
        ...sides.peer.server,
        proveLogin: async ({ link }) => {
          const fresh = await loginToPeer(context.host, links.local);
          try {
            refuseOtherVersion(fresh, version);
            await remoteServer(fresh).proveLogin({ link, version });
          } finally {
            fresh.close();
          }
        },
      },
    },
  };
}

export const namesOf = ({ facts }: Place): string[] => facts.releases.map(({ version }) => version);

export async function tidy(
  context: CommandContext,
  { sides, places }: Prepared,
  keep: (place: Place, from: string | undefined) => readonly string[],
): Promise<void> {
  for (const side of ['peer', 'local'] as const) {
    const { name, change } = sides[side];
    // Only room on a disk: a release that stays harms nobody, and the next upgrade removes it.
    await places[side].releases
      .keep(keep(places[side], change.program?.from))
      .catch(() => context.report.warn(`Releases that nobody needs stay in /opt/cmsadm/releases on ${name}.`));
  }
}
