import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import { runOn } from '../host/programs.ts';
import { at, isThere, type Root, readTarget } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { forFamily, type Profile } from '../profile/schema.ts';
import { clockCheck } from './clock.ts';
import { acdName, acdNumber, readAcds } from './definition.ts';
import { runHook, stateOf } from './hooks.ts';
import { linkSchema, readLinkOf } from './link.ts';
import { linkFaults, probeLink } from './probe.ts';
import { readDone, readRemovals } from './removal.ts';
import { readWatched } from './watched.ts';

const probeSchema = v.object({ host: v.string(), port: v.number(), answers: v.boolean(), why: v.string() });

const acdHereSchema = v.object({
  number: acdNumber,
  /** Undefined where this server does not know the definition. */
  name: v.optional(v.string()),
  link: v.optional(linkSchema),
  collection: v.picklist(['on', 'off', 'unknown']),
  state: v.picklist(['up', 'down', 'busy', 'unknown']),
  /** Folders with data, and their size, where that was asked. */
  data: v.array(v.object({ path: v.string(), kilobytes: v.number() })),
  /** What the agent's link check last said. */
  watched: v.optional(v.string()),
  /** Where it was asked for: who answers, by how many seconds the switch's clock is ahead, and what is wrong. */
  checked: v.optional(
    v.object({
      main: v.optional(probeSchema),
      survivable: v.optional(probeSchema),
      clockSeconds: v.optional(v.number()),
      faults: v.array(v.string()),
    }),
  ),
});
/** One ACD as one server has it. */
export type AcdHere = v.InferOutput<typeof acdHereSchema>;

const acdsHereSchema = v.object({
  acds: v.array(acdHereSchema),
  /** Removed ACDs whose part is still here. */
  toRemove: v.array(v.string()),
  /** Whether the application, which holds the links, is on; undefined where there is none. */
  applicationOn: v.optional(v.boolean()),
  /** Neither on nor off. A program that is older does not tell it. */
  applicationChanging: v.optional(v.picklist(['starting', 'stopping'])),
});
export type AcdsHere = v.InferOutput<typeof acdsHereSchema>;

/** What is asked of a server. */
export const acdsAsked = v.object({
  /** Whether it calls the switches, and asks for their clocks. */
  probes: v.optional(v.boolean(), false),
  /** Whether it measures the data folders, which may take long. */
  sizes: v.optional(v.boolean(), false),
  /** This ACD alone. */
  only: v.optional(acdNumber),
});
export type AcdsAsked = v.InferInput<typeof acdsAsked>;

/** What another server's program told. */
export const acdsFrom = (value: unknown): AcdsHere => v.parse(acdsHereSchema, value);

/** The folders with an ACD's data on each server. */
export const dataFolders = ({ acd }: Profile, number: number): string[] =>
  (acd?.data ?? []).map((path) => path.replaceAll('@{acd}', String(number)));

/**
 * Refuses to remove data that lies elsewhere: of a link, only the link itself would be archived.
 * @throws CmsadmError data-is-link
 */
export function refuseLinkedData(root: Root, profile: Profile, number: number): void {
  for (const path of dataFolders(profile, number)) {
    const target = readTarget(root, path);
    if (target === undefined) continue;
    throw new CmsadmError('data-is-link', `${path} is a link to ${target}: data of ACD ${number} lies elsewhere.`, {
      file: path,
      remedy:
        'Put the folder itself in the place of the link, or name its own place in the profile (acd, data). Then again.',
    });
  }
}

/**
 * Every ACD that is defined or linked on this server.
 * @throws CmsadmError administration-missing, acd-unreadable
 */
export async function acdsHere(
  host: Host,
  profile: Profile,
  { probes = false, sizes = false, only }: AcdsAsked = {},
): Promise<AcdsHere> {
  if (!profile.acd) return { acds: [], toRemove: [] };
  const defined = readAcds(host.root, profile);
  const watched = readWatched(host.root);
  const numbers = [1, 2, 3, 4, 5, 6, 7, 8].filter(
    (number) =>
      (only === undefined || number === only) &&
      (defined.some((acd) => acd.number === number) || readLinkOf(host.root, number) !== undefined),
  );
  // Side by side: each switch may let us wait.
  const acds = await Promise.all(
    numbers.map(async (number): Promise<AcdHere> => {
      const { collection, link: state } = await stateOf(host, profile, number);
      return {
        number,
        name: defined.find((acd) => acd.number === number)?.name,
        link: readLinkOf(host.root, number),
        ...{ collection, state },
        data: sizes ? await measured(host, dataFolders(profile, number)) : [],
        watched: watched[number],
        ...(probes ? { checked: await checked(host, profile, number) } : {}),
      };
    }),
  );
  const { removed } = readDone(host.root);
  const waiting = readRemovals(host.root, profile).filter(({ definition }) => !removed.includes(definition.id));
  return {
    acds,
    toRemove: waiting.map(({ number, definition }) => acdName({ number, name: definition.name })),
    ...(await applicationState(host, profile)),
  };
}

async function applicationState(
  { system }: Host,
  profile: Profile,
): Promise<Pick<AcdsHere, 'applicationOn' | 'applicationChanging'>> {
  const unit = profile.services['application']?.unit;
  if (unit === undefined) return {};
  const family = system.osFamily();
  const name = forFamily(unit, family === 'rhel' ? 'rhel' : 'debian');
  const state = (await system.units([name]))[name];
  return { applicationOn: state?.active, applicationChanging: state?.changing };
}

async function checked(host: Host, profile: Profile, number: number): Promise<AcdHere['checked']> {
  const link = readLinkOf(host.root, number);
  if (!link) return { faults: ['this server has no link to it'] };
  const probes = await probeLink(host.system, link);
  const clock = await clockFaults(host, profile, number).catch(failedHook);
  return { ...probes, ...clock, faults: [...linkFaults(probes), ...clock.faults] };
}

/**
 * The switch's clock against this server's; faults where the link is refused for it.
 * @throws CmsadmError hook-failed
 */
export async function clockFaults(
  host: Host,
  profile: Profile,
  number: number,
): Promise<{ readonly clockSeconds?: number; readonly faults: string[] }> {
  if (!profile.acd?.hooks.clock) return { faults: [] };
  const clock = clockCheck(await runHook(host, profile, 'clock', number), host.system.clock());
  if (!clock) return { faults: ['the clock hook printed no time'] };
  const hours = Math.round(Math.abs(clock.seconds) / 3600);
  const faults = clock.refused
    ? [`its clock is ${hours} hours ${clock.seconds > 0 ? 'ahead' : 'behind'}: over 24 hours the link is refused`]
    : [];
  return { clockSeconds: clock.seconds, faults };
}

/** A check goes on to the other links where the hook of one fails. */
const failedHook = (error: unknown): { readonly faults: string[] } => {
  if (!(error instanceof CmsadmError)) throw error;
  return { faults: [[error.message, ...error.details].join(' ')] };
};

/** The folders that are there, and what they take on disk (du(1)). */
async function measured(host: Host, folders: readonly string[]): Promise<AcdHere['data']> {
  const there = folders.filter((path) => isThere(host.root, path));
  return Promise.all(
    there.map(async (path) => {
      const { stdout } = await runOn(host, ['du', '-sk', '--', at(host.root, path)], { timeout: 120_000 });
      return { path, kilobytes: Number(/^\d+/.exec(stdout)?.[0] ?? 0) };
    }),
  );
}
