import * as v from 'valibot';
import { type Root, readText, writeState } from '../host/root.ts';

const statusPath = '/run/cmsadm/agent.json';

const statusSchema = v.object({
  role: v.picklist(['none', 'primary', 'secondary']),
  epoch: v.number(),
  /** One line for a person: `in step`, or what is in the way. */
  state: v.string(),
  /** ISO time of the last full pass; null before the first. */
  lastPass: v.nullable(v.string()),
  /** Milliseconds from the last change seen here until it was on the other server's disk. */
  lag: v.nullable(v.number()),
  /** Names that are known to differ and are not across yet. */
  queue: v.number(),
  /** Process and ISO time of writing: a dead agent's status can be told from a living one's. */
  pid: v.number(),
  at: v.string(),
});
export type SyncStatus = v.InferOutput<typeof statusSchema>;

export const writeStatus = (root: Root, status: SyncStatus): void =>
  writeState(root, statusPath, `${JSON.stringify(status)}\n`);

/** What the agent of this server last said of itself; undefined if it never ran since the boot. */
export function readStatus(root: Root): SyncStatus | undefined {
  const text = readText(root, statusPath);
  return text === undefined ? undefined : v.parse(statusSchema, JSON.parse(text));
}
