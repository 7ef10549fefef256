import * as fs from 'node:fs';
import { basename, dirname } from 'node:path';
import * as v from 'valibot';
import { type Claim, lockOwner, releaseLock, takeLock } from '../change/lock.ts';
import { CmsadmError, exitCodes, explained } from '../errors.ts';
import { readText } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { removeIfThere, writeState } from '../host/writing.ts';
import { paths } from '../pair/state.ts';
import { keepingTime } from './folders.ts';
import { blockLogins, unblockLogins } from './logins.ts';
import { places } from './places.ts';
import { settlePlacing } from './placing.ts';

const begunSchema = v.object({
  /** On this machine: goes with a backup that died. */
  parts: v.array(v.string()),
  archiver: v.optional(v.object({ pid: v.number(), start: v.string() })),
  /** Root that a restore goes over: all of it is put there, or nothing. */
  over: v.optional(v.string()),
});
type Begun = v.InferOutput<typeof begunSchema>;

/** Seconds after which somebody looks whether the backup still lives, and again. */
const lookSeconds = 20;

/** What a running backup notes for whoever finds it dead. */
export type Running = {
  /** Something on the disk that is no backup until it is whole. */
  begins(part: string): void;
  archiver(pid: number): void;
  /** A restore is put over this root. */
  over(root: string): void;
};

/**
 * Runs a backup or a restore: one at a time, its lock gone with its process. What it notes as begun goes when it ends in
 * whatever way: at once, or within seconds by a timer if it was killed.
 * @param blocks the backup for which new log-ins are blocked; undefined leaves them alone
 * @throws CmsadmError backup-running
 */
export async function running<T>(
  host: Host,
  claim: Claim,
  { blocks, warn }: { readonly blocks: string | undefined; readonly warn: (text: string) => void },
  work: (running: Running) => Promise<T>,
): Promise<T> {
  takeBackupLock(host, claim);
  try {
    for (const line of await tidy(host)) warn(`Left by an earlier one: ${line}.`);
    // First the one who takes it back, then what is to be taken back.
    await arm(host, String(process.pid));
    if (blocks !== undefined && !blockLogins(host.root, blocks))
      warn('New log-ins are blocked already, by somebody else: that stays as it is.');
    const result = await work(noting(host));
    await end(host);
    return result;
  } catch (first) {
    await endAfter(host, first);
    throw first;
  } finally {
    releaseLock(host, places.lock);
  }
}

async function end(host: Host): Promise<void> {
  await tidy(host);
  await host.system.disarm(unit);
}

/** What failed first is told first; what could not be taken away is tried again by the timer. */
async function endAfter(host: Host, first: unknown): Promise<void> {
  try {
    await end(host);
  } catch (thrown) {
    const second = explained(thrown);
    if (!(second instanceof CmsadmError)) throw second;
    const why = explained(first);
    throw new CmsadmError(second.code, `It failed, and what was begun could not be taken away: ${second.message}`, {
      exitCode: exitCodes.needsPerson,
      details: [why instanceof Error ? why.message : String(why), ...second.details],
      remedy: second.remedy ?? 'Put that right, then: cmsadm backup unblock',
      cause: first,
    });
  }
}

function takeBackupLock(host: Host, claim: Claim): void {
  try {
    takeLock(host, claim, places.lock);
  } catch (error) {
    const owner = lockOwner(host, places.lock);
    if (!(error instanceof CmsadmError) || !owner) throw error;
    throw new CmsadmError(
      'backup-running',
      `${owner.operator} runs: ${owner.operation}, since ${owner.since}. Two of them never run together.`,
      { remedy: `Wait until it has ended, or end it: kill ${owner.pid}`, cause: error },
    );
  }
}

/** Which backup or restore runs on this server now, if any. */
export const backupRunning = (host: Host) => lockOwner(host, places.lock);

const unit = 'cmsadm-backup';

/** Each under a name of its own: while a unit's run is not over, systemd makes no second one of its name. */
const arm = (host: Host, suffix: string): Promise<void> =>
  host.system.arm(`${unit}-${suffix}`, lookSeconds, [paths.command, 'backup', 'unblock']);

/**
 * Cleans up after a backup or a restore that died. While one lives nothing is done, but somebody looks again later.
 * @param over a root, path of this machine, over which another system may have left a restore half way
 * @returns what was done, one line each; undefined while a backup lives
 */
export async function settleDead(host: Host, claim: Claim, over?: string): Promise<string[] | undefined> {
  try {
    takeBackupLock(host, claim);
  } catch (error) {
    if (!(error instanceof CmsadmError) || error.code !== 'backup-running') throw error;
    await arm(host, String(Math.trunc(host.system.clock() / 1000)));
    return undefined;
  }
  try {
    return [...(await tidy(host)), ...(over === undefined ? [] : await settlePlacing(over))];
  } finally {
    releaseLock(host, places.lock);
  }
}

function noting(host: Host): Running {
  let begun: Begun = { parts: [] };
  const note = (more: Partial<Begun>): void => {
    begun = { ...begun, ...more };
    writeState(host.root, places.begun, JSON.stringify(begun));
  };
  return {
    begins: (part) => note({ parts: [...begun.parts, part] }),
    archiver: (pid) => {
      const start = host.system.processStart(pid);
      if (start !== undefined) note({ archiver: { pid, start } });
    },
    over: (root) => note({ over: root }),
  };
}

/**
 * Takes away what a backup that does not run any more has begun: its archiver, what it had written, its block of log-ins.
 * Only for who holds the lock.
 * @returns what it did, one line each
 */
async function tidy(host: Host): Promise<string[]> {
  const did: string[] = [];
  const text = readText(host.root, places.begun);
  const begun = text === undefined ? undefined : v.safeParse(begunSchema, parse(text));
  if (begun?.success) {
    const { archiver, parts, over } = begun.output;
    if (archiver && host.system.processStart(archiver.pid) === archiver.start) {
      await host.system.endProcess(archiver.pid);
      did.push('its archiver was ended');
    }
    // First of all: the parts hold what it needs.
    if (over !== undefined) did.push(...(await settlePlacing(over)));
    for (const part of parts.filter((one) => fs.existsSync(one))) {
      keepingTime(dirname(part), () => fs.rmSync(part, { recursive: true, force: true }));
      did.push(`${basename(part)} was removed`);
    }
  }
  if (unblockLogins(host.root)) did.push('new log-ins are possible again');
  removeIfThere(host.root, places.begun);
  return did;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // nobody can tell any more what it named
  }
}
