import { CmsadmError } from '../errors.ts';
import { lastLines } from '../host/processes.ts';
import { runOn } from '../host/programs.ts';
import { at, isThere } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { printable } from '../printable.ts';
import type { Profile } from '../profile/schema.ts';

export type AcdProfile = NonNullable<Profile['acd']>;
export type HookName = keyof AcdProfile['hooks'];

/** What an operator may do to a link: the hook, and what the state must say afterwards. */
export const linkActions = ['start', 'stop', 'busy', 'release'] as const;
export type LinkAction = (typeof linkActions)[number];

/** What the `state` hook says of one ACD on this server. */
export type AcdState = {
  readonly collection: 'on' | 'off' | 'unknown';
  readonly link: 'up' | 'down' | 'busy' | 'unknown';
};
const unknownState: AcdState = { collection: 'unknown', link: 'unknown' };

/** @throws CmsadmError no-acds */
export function acdProfile({ acd, name }: Profile): AcdProfile {
  if (acd) return acd;
  throw new CmsadmError('no-acds', `The profile "${name}" knows no ACDs.`, {
    remedy: 'Give it a block "acd"; docs/administration.md shows its form.',
  });
}

/** Reads what the `state` hook printed; what it does not say is unknown. */
export function parseState(text: string): AcdState {
  const field = (name: string): string => new RegExp(`^${name}=(\\S+)\\s*$`, 'm').exec(text)?.[1] ?? '';
  const [collection, link] = [field('collection'), field('link')];
  return {
    collection: collection === 'on' || collection === 'off' ? collection : 'unknown',
    link: link === 'up' || link === 'down' || link === 'busy' ? link : 'unknown',
  };
}

/** True where the ACD already stands as the action would make it. */
export function standsAs(action: LinkAction, { collection, link }: AcdState): boolean {
  if (action === 'start') return collection === 'on';
  if (action === 'stop') return collection === 'off';
  return action === 'busy' ? link === 'busy' : link === 'up' || link === 'down';
}

/** The program's words, and the number as one more. */
export const hookArgv = (words: readonly string[], number: number): string[] => [...words, String(number)];

/**
 * Runs a hook of the profile for one ACD.
 * @returns what it printed
 * @throws CmsadmError no-hook, hook-failed
 */
export async function runHook(host: Host, profile: Profile, hook: HookName, number: number): Promise<string> {
  const { hooks, seconds } = acdProfile(profile);
  const words = hooks[hook];
  if (!words)
    throw new CmsadmError('no-hook', `The profile "${profile.name}" names no program for ${hook}.`, {
      remedy: `Add acd.hooks.${hook} to the profile.`,
    });
  const [program = '', ...args] = hookArgv(words, number);
  const began = performance.now();
  // A folder that stands for a server brings its own programs.
  const outcome = await runOn(host, [at(host.root, program), ...args], { timeout: seconds * 1000 });
  if (outcome.exitCode === 0) return outcome.stdout;
  if (!isThere(host.root, program))
    throw new CmsadmError('hook-failed', `The program for ${hook}, ${program}, is not there.`, {
      file: program,
      remedy: `Install it, or name another one in the profile (acd, hooks, ${hook}).`,
    });
  const isLate = performance.now() - began >= seconds * 1000;
  throw new CmsadmError(
    'hook-failed',
    `${program} ${args.join(' ')} ${isLate ? `took longer than ${seconds} s` : `failed with ${outcome.exitCode}`}.`,
    {
      file: program,
      details: lastLines(outcome.stderr || outcome.stdout, 3)
        .map((line) => printable(line))
        .filter((line) => line !== ''),
      remedy: `Try it by hand: ${[program, ...args].join(' ')}`,
    },
  );
}

/** How an ACD stands here; unknown where nobody can say. */
export async function stateOf(host: Host, profile: Profile, number: number): Promise<AcdState> {
  if (!profile.acd?.hooks.state) return unknownState;
  try {
    return parseState(await runHook(host, profile, 'state', number));
  } catch (error) {
    if (!(error instanceof CmsadmError)) throw error;
    return unknownState;
  }
}
