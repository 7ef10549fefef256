import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import * as v from 'valibot';
import { CmsadmError } from '../src/errors.ts';
import type { ProcessId } from './processes.ts';
import { type ServerName, serverNames, variants } from './servers.ts';

/** Everything a running lab keeps on disk, outside the checkout; `down` removes it whole. */
export const labFolder = '/var/lib/cmsadm-lab';
const stateFile = `${labFolder}/state.json`;

const processSchema = v.object({ pid: v.number(), startTime: v.string() });

const serverSchema = v.object({
  nspawn: v.optional(processSchema),
  guest: v.optional(processSchema),
  relay: v.optional(processSchema),
  cut: v.boolean(),
  delayMs: v.number(),
  lossPercent: v.number(),
});
export type ServerState = v.InferOutput<typeof serverSchema>;

const stateSchema = v.object({
  bootId: v.string(),
  variant: v.picklist(variants),
  base: v.string(),
  /** Where disks have a size, so that they can be filled: megabytes for each server. */
  diskMb: v.optional(v.number()),
  /** False until the first `up` has come through: what a crash left half made is not used. */
  complete: v.boolean(),
  servers: v.object({ cms1: serverSchema, cms2: serverSchema, probe: serverSchema }),
});
export type LabState = v.InferOutput<typeof stateSchema>;

export const serverAtRest: ServerState = { cut: false, delayMs: 0, lossPercent: 0 };

/** What is recorded, or undefined: no lab, one of before this machine's last boot, or an unreadable record. */
export function readState(): LabState | undefined {
  let text: string;
  try {
    text = readFileSync(stateFile, 'utf8');
  } catch {
    return undefined;
  }
  const parsed = v.safeParse(v.pipe(v.string(), v.parseJson(), stateSchema), text);
  return parsed.success && parsed.output.bootId === bootId() ? parsed.output : undefined;
}

export function writeState(state: LabState): void {
  mkdirSync(labFolder, { recursive: true, mode: 0o700 });
  writeFileSync(`${stateFile}.new`, `${JSON.stringify(state, undefined, 2)}\n`);
  renameSync(`${stateFile}.new`, stateFile);
}

/** Changes what is recorded of one server. Throws `lab-down` when there is no lab. */
export function updateServer(name: ServerName, change: (before: ServerState) => ServerState): ServerState {
  const state = requireState();
  const after = change(state.servers[name]);
  writeState({ ...state, servers: { ...state.servers, [name]: after } });
  return after;
}

/** As `readState`, but throws `lab-down` when there is no lab. */
export function requireState(): LabState {
  const state = readState();
  if (state === undefined) throw new CmsadmError('lab-down', 'The lab is not up.', { remedy: 'npm run lab -- up' });
  return state;
}

/** The processes recorded for a lab, those of the relays included. */
export function recordedProcesses(state: LabState): readonly ProcessId[] {
  return serverNames.flatMap((name) => {
    const { guest, nspawn, relay } = state.servers[name];
    return [guest, nspawn, relay].filter((one) => one !== undefined);
  });
}

export function bootId(): string {
  return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
}
