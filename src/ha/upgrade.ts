import { type Change, noServices, nothingAfterwards, type ProgramSwitch } from '../change/change.ts';
import { CmsadmError } from '../errors.ts';
import type { Profile } from '../profile/schema.ts';
import type { Run } from './answers.ts';

/** What a server tells of its program. */
export type ReleaseFacts = {
  /** The version in use; undefined where the program was not installed from an HA package. */
  readonly version: string | undefined;
  /** SHA-256 of the manifest of the version in use. */
  readonly digest: string | undefined;
  readonly protocol: number;
  readonly arch: string;
  /** Where releases lie. */
  readonly freeMb: number;
  /** What is unpacked there, the version in use included. */
  readonly releases: readonly Release[];
};

/** A release, of a package or unpacked. */
export type Release = {
  readonly version: string;
  /** SHA-256 of its manifest. */
  readonly digest: string;
  readonly protocol: number;
  /** The version of the runtime in it, or `none`. */
  readonly node: string;
};

/** Megabytes that a package, its unpacked files and the release need for a moment. */
const NEEDED_MB = 400;
/** Seconds until the agent has shown that it keeps running. */
const AGENT_SECONDS = 30;

/**
 * What an upgrade does with the program of one server.
 * @param back the release is unpacked already, and may be an older one
 * @returns undefined where it is that very release already
 * @throws CmsadmError upgrade-refused, with every reason
 */
export function planSwitch(server: string, facts: ReleaseFacts, to: Release, back: boolean): ProgramSwitch | undefined {
  if (facts.digest === to.digest) return undefined;
  const { version: from } = facts;
  const apart = Math.abs(facts.protocol - to.protocol);
  const reasons = [
    ...(facts.arch === 'x86_64' ? [] : [`It is ${facts.arch}; the package is for x86_64.`]),
    ...(to.node === 'none' ? ['The package holds no runtime; it is for rehearsals only.'] : []),
    ...(from === undefined ? ['Its program was not installed from an HA package.'] : []),
    ...(from === to.version ? [`It has ${from} already, with other contents; a release never changes.`] : []),
    ...(!back && from !== undefined && compareVersions(to.version, from) < 0
      ? [`It has ${from}, which is newer.`]
      : []),
    ...(apart > 1
      ? [`It speaks protocol ${facts.protocol}, the package ${to.protocol}; upgrade to a version in between first.`]
      : []),
    ...(!back && facts.freeMb < NEEDED_MB
      ? [`/opt/cmsadm has ${facts.freeMb} MB free; ${NEEDED_MB} MB are needed.`]
      : []),
  ];
  if (reasons.length === 0 && from !== undefined) return { from, to: to.version, digest: to.digest };
  throw new CmsadmError('upgrade-refused', `${server} cannot be brought to cmsadm ${to.version}.`, {
    server,
    details: reasons,
    remedy: 'Remove these reasons, or give another HA package; nothing was touched.',
  });
}

/**
 * The release to go back to: the newest that lies unpacked on both servers and is not in use on both.
 * @throws CmsadmError release-missing
 */
export function releaseBefore(local: ReleaseFacts, peer: ReleaseFacts): Release {
  const there = new Set(peer.releases.map(({ digest }) => digest));
  const [newest] = local.releases
    .filter(({ digest }) => there.has(digest) && (digest !== local.digest || digest !== peer.digest))
    .sort((a, b) => compareVersions(b.version, a.version));
  if (newest) return newest;
  throw new CmsadmError('release-missing', 'There is no release before that both servers have kept.', {
    remedy: 'Unpack the HA package of that version on each server and run ./install.',
  });
}

/** One server's part of an upgrade; the agent starts anew on both, so that nothing of the old version stays at work. */
export const upgradeChange = (
  server: string,
  program: ProgramSwitch | undefined,
  profile: Profile,
  run: Run,
): Change => ({
  tag: run.tag,
  step: 'program',
  operation: 'upgrade',
  operator: run.operator,
  server,
  files: [],
  services: { ...noServices, restart: [profile.agentUnit], seconds: AGENT_SECONDS },
  ...(program === undefined ? {} : { program }),
  epoch: null,
  confirmSeconds: profile.confirmSeconds,
  sshWatch: null,
  afterwards: nothingAfterwards,
});

/** Negative where `a` is older, positive where it is newer. Source: semver.org, 11; numbers before letters. */
export function compareVersions(a: string, b: string): number {
  const parts = (version: string): [string[], string[]] => {
    const dash = version.indexOf('-');
    const [core, pre] = dash === -1 ? [version, ''] : [version.slice(0, dash), version.slice(dash + 1)];
    return [core.split('.'), pre === '' ? [] : pre.split('.')];
  };
  const [[coreA, preA], [coreB, preB]] = [parts(a), parts(b)];
  const core = compareParts(coreA, coreB);
  if (core !== 0) return core;
  // A version that is still being made comes before the finished one.
  if (preA.length === 0 || preB.length === 0) return preB.length - preA.length;
  return compareParts(preA, preB);
}

function compareParts(a: readonly string[], b: readonly string[]): number {
  for (const [i, one] of a.entries()) {
    const other = b[i];
    if (other === undefined) return 1;
    const [numeric, otherNumeric] = [/^\d+$/.test(one), /^\d+$/.test(other)];
    if (numeric !== otherNumeric) return numeric ? -1 : 1;
    if (numeric && Number(one) !== Number(other)) return Number(one) - Number(other);
    if (one !== other) return one < other ? -1 : 1;
  }
  return a.length - b.length;
}
