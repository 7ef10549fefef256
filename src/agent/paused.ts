import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import { type Root, readText } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { removeDurably, writeState } from '../host/writing.ts';
import { paths } from '../pair/state.ts';

const pauseFile = `${paths.sync}/paused.json`;
const pauseSchema = v.object({ by: v.string(), since: v.string() });
const holdFile = `${paths.sync}/restoring.json`;
const holdSchema = v.object({ tag: v.string(), by: v.string(), since: v.string() });
type Hold = v.InferOutput<typeof holdSchema>;

/** Its file is damaged. */
const unreadable = { by: 'somebody (its file is damaged)', since: 'an unknown time' };

const now = ({ system }: Host): string => new Date(system.clock()).toISOString();

/** Stops admin-sync on this server until it is resumed; outlives restarts. */
export function pause(host: Host, by: string): void {
  if (readPause(host.root)) return;
  writeState(host.root, pauseFile, `${JSON.stringify({ by, since: now(host) })}\n`);
}

export const resume = ({ root }: Host): void => removeDurably(root, pauseFile);

/** Who paused it and since when; undefined where it is not paused. */
export function readPause(root: Root): v.InferOutput<typeof pauseSchema> | undefined {
  const text = readText(root, pauseFile);
  if (text === undefined) return undefined;
  const read = v.safeParse(v.pipe(v.string(), v.parseJson(), pauseSchema), text);
  // A damaged one still is one.
  return read.success ? read.output : { ...unreadable };
}

/**
 * Stops admin-sync while data of this server are restored, until the end of that very restore; outlives restarts.
 * @throws CmsadmError sync-held while another restore holds it
 */
export function hold(host: Host, tag: string, by: string): void {
  const held = readHold(host.root);
  if (held && held.tag !== tag) throw heldError(held);
  if (!held) writeState(host.root, holdFile, `${JSON.stringify({ tag, by, since: now(host) })}\n`);
}

/** Ends the hold of that restore; another one's stays. */
export function endHold({ root }: Host, tag: string): void {
  if (readHold(root)?.tag === tag) removeDurably(root, holdFile);
}

/** For which restore it is held; undefined where it is not. */
export function readHold(root: Root): Hold | undefined {
  const text = readText(root, holdFile);
  if (text === undefined) return undefined;
  const read = v.safeParse(v.pipe(v.string(), v.parseJson(), holdSchema), text);
  return read.success ? read.output : { tag: 'unknown', ...unreadable };
}

const heldText = ({ tag, by, since }: Hold): string => `held for the restore ${tag} by ${by} since ${since}`;

export const heldError = (held: Hold): CmsadmError =>
  new CmsadmError('sync-held', `Admin-sync is ${heldText(held)}.`, {
    remedy: `When that restore has ended: cmsadm sync resume --tag ${held.tag}`,
  });

/** Why nothing is sent now, in a few words; undefined where nothing stops it. */
export function whyStopped(root: Root): string | undefined {
  const paused = readPause(root);
  if (paused) return `paused by ${paused.by} since ${paused.since}`;
  const held = readHold(root);
  return held && heldText(held);
}

/** @throws CmsadmError sync-paused, sync-held */
export function refuseStopped(root: Root): void {
  const paused = readPause(root);
  if (paused)
    throw new CmsadmError('sync-paused', `Admin-sync is paused by ${paused.by} since ${paused.since}.`, {
      remedy: 'Let it go on: cmsadm sync resume.',
    });
  const held = readHold(root);
  if (held) throw heldError(held);
}
