import { dirname } from 'node:path';
import { CmsadmError } from '../errors.ts';
import { type Root, readTarget, readText, sha256 } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { pointLink, preparedLink, removeIfThere, syncFolder } from '../host/writing.ts';
import { paths } from '../pair/state.ts';
import { readStatus } from '../pair/sync-status.ts';
import type { ProgramSwitch } from './change.ts';

/** A new agent must live this long: one that dies is tried again every 2 s. Milliseconds. */
const STEADY = 3_000;

const releaseOf = (version: string): string => `${paths.releases}/${version}`;

/** The program of a release, whatever `current` says. */
export const commandOf = (version: string): string => `${releaseOf(version)}/bin/cmsadm`;

/** The version in use; undefined where `current` does not name a release. */
export const currentRelease = (root: Root): string | undefined =>
  /^releases\/([0-9A-Za-z.-]+)$/.exec(readTarget(root, paths.program) ?? '')?.[1];

/**
 * Refuses a switch whose beginning or end is not what the plan saw. Versions come from the other server and are parts
 * of paths.
 * @throws CmsadmError program-changed, release-missing
 */
export function refuseOtherProgram(root: Root, { from, to, digest }: ProgramSwitch): void {
  const named = (version: string): boolean => /^\d[0-9A-Za-z.-]*$/.test(version) && !version.includes('..');
  const found = currentRelease(root);
  if (!named(from) || found !== from)
    throw new CmsadmError('program-changed', `cmsadm ${from} is no longer the version in use here.`, {
      file: paths.program,
      remedy: 'Run the command again: it makes a new plan.',
    });
  const manifest = named(to) ? readText(root, `${releaseOf(to)}/manifest.json`) : undefined;
  if (manifest === undefined || sha256(manifest) !== digest)
    throw new CmsadmError('release-missing', `The release ${to} is not unpacked here as the package holds it.`, {
      file: releaseOf(to),
      remedy: 'Run the command again: it unpacks the package anew.',
    });
}

/** Switches to the new release. From before that until the end the boot unit finds the old program by a link of its own. */
export function switchProgram(root: Root, { from, to }: ProgramSwitch): void {
  pointLink(root, paths.wayBackProgram, `releases/${from}`);
  pointLink(root, paths.program, `releases/${to}`);
}

/** Back to the old release, unless somebody installed a third one meanwhile. */
export function switchBack(root: Root, { from, to }: ProgramSwitch): void {
  if (currentRelease(root) === to) pointLink(root, paths.program, `releases/${from}`);
  endSwitch(root);
}

/** Nobody needs the old program for a way back any more; its release stays. What a crash left of a link goes too. */
export function endSwitch(root: Root): void {
  const names = [paths.wayBackProgram, preparedLink(paths.wayBackProgram), preparedLink(paths.program)];
  const gone = names.filter((name) => removeIfThere(root, name));
  if (gone.length > 0) syncFolder(root, dirname(paths.wayBackProgram));
}

/** The process that last told the agent's status. */
export const agentProcess = (root: Root): number | undefined => readStatus(root)?.pid;

/**
 * Waits until a new agent has read the pair, told its status and lived on for a while.
 * @param before the process of the agent that ran until now
 * @param seconds how long it may take
 * @throws CmsadmError service-unhealthy
 */
export async function proveAgent(host: Host, before: number | undefined, seconds: number): Promise<void> {
  const { elapsed, processStart } = host.system;
  const deadline = elapsed() + seconds * 1000;
  let seen: { readonly pid: number; readonly since: number } | undefined;
  for (;;) {
    const pid = agentProcess(host.root);
    const lives = pid !== undefined && pid !== before && processStart(pid) !== undefined;
    if (!lives) seen = undefined;
    else if (pid !== seen?.pid) seen = { pid, since: elapsed() };
    else if (elapsed() - seen.since >= STEADY) return;
    if (elapsed() > deadline)
      throw new CmsadmError('service-unhealthy', `The new agent did not keep running within ${seconds} s.`, {
        remedy: 'See `journalctl -u cmsadm-agent` there.',
      });
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
