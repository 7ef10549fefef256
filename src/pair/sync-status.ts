import * as v from 'valibot';
import { type Root, readText } from '../host/root.ts';
import { writeState } from '../host/writing.ts';
import { metricsText } from './sync-metrics.ts';

const statusPath = '/run/cmsadm/agent.json';
const metricsPath = '/run/cmsadm/metrics.prom';

const wantedSchema = v.object({
  /** `differs`: `apply` ended well, and `report` still names what is not as wanted. */
  state: v.picklist(['as wanted', 'differs', 'apply failed', 'report failed']),
  /** What differs, or what the program said that failed. */
  lines: v.array(v.string()),
  at: v.string(),
});
export type WantedStatus = v.InferOutput<typeof wantedSchema>;

const setStatusSchema = v.object({
  name: v.string(),
  /**
   * `held`: a guard stopped it until it is released; `stopped`: it can't be read or written; `undecided`: both servers
   * have changes, and a person has to decide.
   */
  state: v.picklist(['in step', 'sending', 'held', 'stopped', 'undecided']),
  /** Why it is held, stopped or undecided; empty otherwise. */
  why: v.string(),
  /** Names that are known to differ and are not across yet. */
  queue: v.number(),
  /** ISO time of the oldest change that the other server has not acknowledged; null where there is none. */
  oldest: v.nullable(v.string()),
  /** Names in the set on this server. */
  names: v.number(),
  /** Changes acknowledged since the agent started, and in the last minute. */
  sent: v.number(),
  lastMinute: v.number(),
  /** How this server stands to the wanted state in the set; not there where it holds none, or before the first look. */
  wanted: v.optional(wantedSchema),
});

const statusSchema = v.object({
  role: v.picklist(['none', 'primary', 'secondary']),
  epoch: v.number(),
  /** One line for a person: `in step`, or what is in the way. */
  state: v.string(),
  /** ISO time of the last full pass; null before the first. */
  lastPass: v.nullable(v.string()),
  /** Milliseconds from the last change seen here until it was on the other server's disk. */
  lag: v.nullable(v.number()),
  /** Names that are known to differ and are not across yet, of all sets. */
  queue: v.number(),
  /** How far the full pass is, 0-100; null while none runs. */
  passPercent: v.optional(v.nullable(v.number()), null),
  /** Who stopped the sync and since when (ISO); null where it is not paused. */
  paused: v.optional(v.nullable(v.object({ by: v.string(), since: v.string() })), null),
  /** For which restore nothing is sent, by whom and since when (ISO). */
  restoring: v.optional(v.object({ tag: v.string(), by: v.string(), since: v.string() })),
  /** Sequence number of the last change sent under this epoch, and the one up to which all were answered; what was refused stands with its set. */
  seq: v.optional(v.number(), 0),
  acked: v.optional(v.number(), 0),
  /** Conflicts recorded on this server. */
  conflicts: v.optional(v.number(), 0),
  sets: v.optional(v.array(setStatusSchema), []),
  /** Process and ISO time of writing: a dead agent's status can be told from a living one's. */
  pid: v.number(),
  at: v.string(),
});
export type SyncStatus = v.InferOutput<typeof statusSchema>;

/** A status as an agent told it. */
export const statusFrom = (value: unknown): SyncStatus => v.parse(statusSchema, value);

/** Writes the status for commands, and as metrics for a node_exporter that runs as any user. */
export function writeStatus(root: Root, status: SyncStatus): void {
  writeState(root, statusPath, `${JSON.stringify(status)}\n`);
  writeState(root, metricsPath, metricsText(status), 0o644);
}

/** What the agent of this server last said of itself; undefined if it never ran since the boot. */
export function readStatus(root: Root): SyncStatus | undefined {
  const text = readText(root, statusPath);
  return text === undefined ? undefined : v.parse(statusSchema, JSON.parse(text));
}
