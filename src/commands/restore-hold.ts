import * as fs from 'node:fs';
import { dirname, join } from 'node:path';
import { endHold, hold, readHold, readPause } from '../agent/paused.ts';
import { callAgent } from '../agent/socket.ts';
import { hasAuthority } from '../agent/standing.ts';
import { isWithin } from '../backup/mounts.ts';
import type { RestorePlan } from '../backup/restore-backup.ts';
import { CmsadmError } from '../errors.ts';
import { at } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { readPair } from '../pair/state.ts';
import type { Profile } from '../profile/schema.ts';
import { during } from '../report.ts';
import type { CommandContext } from './context.ts';
import { passReportsFrom } from './sync-answers.ts';

/** Holds of a restore's own begin so; what an operator holds by hand has a word of his own, and is ended by him. */
const OURS = 'backup-';

/** True where a restore writes over a data set that this server sends. */
export function meetsSync(host: Host, { dataSets }: Profile, { how, folder, paths }: RestorePlan): boolean {
  if (how !== 'over' || !sends(host)) return false;
  const places = (paths ?? ['.']).map((path) => withoutLinks(join(folder, path.trim())));
  return dataSets.some(({ path }) => {
    const base = withoutLinks(at(host.root, path));
    return places.some((place) => isWithin(place, base) || isWithin(base, place));
  });
}

/** What nobody can read of the pair keeps nobody from restoring it: by that nothing is sent. */
function sends(host: Host): boolean {
  try {
    const pair = readPair(host.root);
    return pair !== undefined && hasAuthority(host, pair);
  } catch (error) {
    if (error instanceof CmsadmError) return false;
    throw error;
  }
}

/** A path of which the last parts may not be there yet. */
function withoutLinks(path: string): string {
  if (fs.existsSync(path)) return fs.realpathSync(path);
  return path === '/' ? path : join(withoutLinks(dirname(path)), path.slice(dirname(path).length));
}

/**
 * Has nothing sent while a restore is put in its place. An agent that does not run finds it so when it starts.
 * @returns the tag to end it with; undefined where an operator holds it by hand
 */
export async function holdSync({ host, operator, report }: CommandContext, tag: string): Promise<string | undefined> {
  const args = { tag: `${OURS}${tag}`, by: operator.slice(0, 64) };
  const held = readHold(host.root);
  // One restore runs at a time: that one is dead.
  if (held?.tag.startsWith(OURS)) endHold(host, held.tag);
  else if (held) {
    report.line(
      `Admin-sync is held already for the restore ${held.tag} by ${held.by}, and stays so until that is ended.`,
    );
    return undefined;
  }
  try {
    await during(report, 'Holding admin-sync: waiting for what is under way', () => callAgent(host, 'syncHold', args));
  } catch (error) {
    // It does not run, or lost the other server while it waited: nothing is under way.
    if (!(error instanceof CmsadmError)) throw error;
    hold(host, args.tag, args.by);
  }
  return args.tag;
}

/** Lets the sync go on after a restore, with one full pass. What keeps that from being whole is told, and holds nothing. */
export async function endSyncHold({ host, report }: CommandContext, tag: string): Promise<void> {
  try {
    const passes = await during(report, 'A full pass of admin-sync, which was held for the restore', () =>
      callAgent(host, 'syncResume', { tag }),
    );
    report.show({ kind: 'passes', passes: passReportsFrom(passes) });
  } catch (error) {
    if (!(error instanceof CmsadmError)) throw error;
    await goOn(host, tag);
    report.warn(`Admin-sync goes on, and makes a full pass as soon as it can. Now: ${error.message}`);
    for (const line of error.details) report.warn(line);
  }
}

/** Ends the hold of a restore that died and is settled. @returns what was done, one line each */
export async function endDeadHold(host: Host): Promise<string[]> {
  const held = readHold(host.root);
  if (!held?.tag.startsWith(OURS)) return [];
  await goOn(host, held.tag);
  return [`admin-sync, held for the restore by ${held.by}, goes on with a full pass`];
}

/**
 * A restore removes nothing, so the guard may judge the pass as ever. An agent that does not run, or is not connected,
 * begins with one.
 */
async function goOn(host: Host, tag: string): Promise<void> {
  endHold(host, tag);
  if (readPause(host.root)) return;
  try {
    await callAgent(host, 'syncResume');
  } catch (error) {
    if (!(error instanceof CmsadmError)) throw error;
  }
}
