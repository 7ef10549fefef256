import type { Deed } from './operations.ts';
import { differences, type PairState, type Reference, type References, statesOf } from './references.ts';
import { type Both, isOpen, type PairServer, pair, type Standing } from './standing.ts';

/** A line that the administrator added and that must not be lost. */
export type Line = { readonly server: PairServer; readonly path: string; readonly text: string };

/** What is judged: where the pair was, what was done, and how both servers stand now, in full and in normal form. */
export type Case = {
  readonly deed: Deed;
  readonly references: References;
  readonly before: Both<Standing>;
  readonly after: Both<Standing>;
  readonly normal: Both<Reference>;
  readonly exitCode: number | undefined;
  /** True where cms2 lost its power, or its program was killed, while the program was being unpacked there. */
  readonly mayHoldRemnants: boolean;
};

export type Verdict = {
  /** The state of each server; undefined where its files are none that we know. */
  readonly states: Both<PairState | undefined>;
  readonly complaints: readonly string[];
};

/** Judges how a round has left the pair. Pure: it asks nobody. */
export function judge(one: Case): Verdict {
  const { deed, references, after } = one;
  const normal = one.mayHoldRemnants ? withoutRemnants(one.normal) : one.normal;
  const state = (server: PairServer): PairState | undefined => {
    const found = statesOf(references, server, normal[server]);
    return found.find((name) => name === deed.to) ?? found[0];
  };
  const states = { cms1: state('cms1'), cms2: state('cms2') };
  const complaints = [
    ...pair.flatMap((server) => fileComplaints(server, states[server], { ...one, normal })),
    ...stateComplaints(states, one),
    ...pair.flatMap((server) => forceComplaints(server, states[server], one)),
    ...pair.flatMap((server) => strayComplaints(server, after[server], states[server])),
    ...epochComplaints(one),
  ];
  return { states, complaints };
}

/** Does a server hold a program that was never put in place? The next set up takes that over, or away. */
export const holdsRemnants = ({ files }: Reference): boolean =>
  files.has('/opt/cmsadm/brought') && !files.has('/usr/local/sbin/cmsadm');

function withoutRemnants({ cms1, cms2 }: Both<Reference>): Both<Reference> {
  if (!holdsRemnants(cms2)) return { cms1, cms2 };
  const files = new Map([...cms2.files].filter(([path]) => !path.startsWith('/opt/cmsadm')));
  return { cms1, cms2: { ...cms2, files } };
}

function fileComplaints(server: PairServer, state: PairState | undefined, one: Case): string[] {
  if (state !== undefined) return [];
  const { deed, references, normal } = one;
  const nearest = [deed.from, deed.to, 'linked' as const]
    .map((name) => ({
      name,
      apart: differences(references.get(name)?.[server].files ?? new Map(), normal[server].files),
    }))
    .sort((a, b) => a.apart.length - b.apart.length)[0];
  return (nearest?.apart ?? []).slice(0, 12).map((line) => `${server} is not quite "${nearest?.name}": ${line}`);
}

/** Exit codes that tell an operator something; none where it was killed, alone or with its server. */
const meantCodes: readonly number[] = [0, 3, 4, 5, 130];

/** The states in which an operation may leave the pair, the first and the last step of set up and disable apart. */
function stateComplaints(states: Both<PairState | undefined>, { deed, exitCode }: Case): string[] {
  const { cms1, cms2 } = states;
  if (cms1 === undefined || cms2 === undefined) return [];
  const told = `exit code ${exitCode ?? 'none'}`;
  if (exitCode !== undefined && !meantCodes.includes(exitCode)) return [`it ended with a bug: ${told}`];
  if (cms1 !== cms2)
    return mayBeApart(states, deed) ? [] : [`the servers differ: cms1 is "${cms1}", cms2 is "${cms2}" (${told})`];
  const allowed = [deed.from, deed.to, ...(passesLink(deed) ? ['linked'] : [])];
  if (!allowed.includes(cms1)) return [`both are "${cms1}", which is neither before nor planned (${told})`];
  if (exitCode === 0 && cms1 !== deed.to) return [`it told success, but both are "${cms1}"`];
  const isRefused = exitCode === 3 || exitCode === 4 || exitCode === 130;
  if (isRefused && cms1 === deed.to && deed.to !== deed.from)
    return [`it told that nothing was changed or all put back (${told}), but both are "${cms1}"`];
  return [];
}

// A first contact makes the link before the change, disable ends it after the change.
const passesLink = ({ operation, from }: Deed): boolean =>
  operation === 'disable' || (operation === 'set up' && from === 'single');

/** At the link, each server may be linked or not: one that is, is brought back by `disable --alone`. */
export const mayBeApart = ({ cms1, cms2 }: Both<PairState | undefined>, deed: Deed): boolean =>
  passesLink(deed) && [cms1, cms2].includes('single') && [cms1, cms2].includes('linked');

function forceComplaints(server: PairServer, state: PairState | undefined, { references, normal }: Case): string[] {
  const reference = state === undefined ? undefined : references.get(state)?.[server];
  if (reference === undefined) return [];
  return differences(reference.force, normal[server].force).map((line) => `${server}, in force: ${line}`);
}

function strayComplaints(server: PairServer, standing: Standing, state: PairState | undefined): string[] {
  const confirmed = new Set(
    standing.journals.filter(({ decision }) => decision === 'confirmed').map(({ id }) => id.split('.')[0]),
  );
  const tagOf = (path: string): string | undefined => /\.(zdt_\d+_\d+)/.exec(path)?.[1];
  const orphans = standing.backups.filter((path) => !path.includes('.edited') && !confirmed.has(tagOf(path)));
  const mayBePair = state === undefined || state === 'cms1 primary' || state === 'cms2 primary';
  const agents = standing.programs.filter((line) => / agent$/.test(line));
  // The agents of a pair have one session, and ask each other now and then.
  const sessions = standing.programs.filter((line) => / peer$/.test(line));
  const others = standing.programs.filter((line) => !agents.includes(line) && !sessions.includes(line));
  return [
    ...orphans.map((path) => `a backup of a change that was not confirmed: ${path}`),
    ...standing.journals.filter(isOpen).map(({ id, states }) => `open: ${id} (${states.join(', ') || 'begun'})`),
    ...standing.units.map((line) => `unit: ${line}`),
    ...others.map((line) => `program: ${line.trim()}`),
    ...(agents.length > (mayBePair ? 1 : 0) ? agents.map((line) => `program: ${line.trim()}`) : []),
    ...(sessions.length > (mayBePair ? 2 : 0) ? sessions.map((line) => `session: ${line.trim()}`) : []),
  ].map((line) => `${server}: ${line}`);
}

function epochComplaints({ before, after }: Case): string[] {
  const lower = pair.filter((server) => after[server].epoch < before[server].epoch);
  const inPair = (server: PairServer): string | undefined =>
    /"epoch": (\d+)/.exec(after[server].contents.get('/var/lib/cmsadm/pair.json') ?? '')?.[1];
  const [cms1, cms2] = [inPair('cms1'), inPair('cms2')];
  return [
    ...lower.map((server) => `${server}: its epoch fell from ${before[server].epoch} to ${after[server].epoch}`),
    ...(cms1 !== undefined && cms2 !== undefined && cms1 !== cms2 ? [`the pair's epoch is ${cms1} and ${cms2}`] : []),
    ...pair
      .filter((server) => Number(inPair(server) ?? 0) > after[server].epoch)
      .map((server) => `${server}: the pair's epoch ${inPair(server)} is above its mark ${after[server].epoch}`),
  ];
}

/** The added lines that no longer stand in their file. */
export const goneLines = (lines: readonly Line[], after: Both<Standing>): readonly Line[] =>
  lines.filter(({ server, path, text }) => !`${after[server].contents.get(path) ?? ''}\n`.includes(`${text}\n`));
