import * as v from 'valibot';
import { type Root, readText, removeDurably, writeState } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { paths } from '../pair/state.ts';

const file = `${paths.sync}/paused.json`;
const schema = v.object({ by: v.string(), since: v.string() });

/** Stops admin-sync on this server until it is resumed; outlives restarts. */
export function pause({ root, system }: Host, by: string): void {
  if (readPause(root)) return;
  writeState(root, file, `${JSON.stringify({ by, since: new Date(system.clock()).toISOString() })}\n`);
}

export const resume = ({ root }: Host): void => removeDurably(root, file);

/** Who paused it and since when; undefined where it is not paused. */
export function readPause(root: Root): v.InferOutput<typeof schema> | undefined {
  const text = readText(root, file);
  return text === undefined ? undefined : v.parse(schema, JSON.parse(text));
}
