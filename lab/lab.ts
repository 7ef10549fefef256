import { statSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { CmsadmError } from '../src/errors.ts';
import { baseFolder, ensureBase } from './base.ts';
import { makeBridge, setCable } from './cable.ts';
import { setFrozen } from './cgroups.ts';
import { makeIdentities } from './furnish.ts';
import { enter, guestEnvironment, serverFolders } from './guest.ts';
import { type Boot, boot, bootFresh, clear, discard, findGuest, guestOf, slowDown, stop } from './lifecycle.ts';
import { withLock } from './lock.ts';
import { findObstacle } from './machine.ts';
import { type RunResult, run, runBytes } from './run.ts';
import { labServers, type ServerName, serverNames, type Variant } from './servers.ts';
import { bootId, labFolder, readState, requireState, serverAtRest, updateServer, writeState } from './state.ts';

export type UpOptions = {
  readonly variant?: Variant;
  /** Gives each server a disk of this many megabytes, in memory, which can be filled. */
  readonly diskMb?: number;
  readonly say?: (line: string) => void;
};
export type ExecOptions = {
  readonly input?: string | Uint8Array;
  readonly timeoutMs?: number;
  readonly reject?: boolean;
};

/** Can a lab run here? If not, `why` says in a few words what is in the way. */
export function available(): { readonly ok: boolean; readonly why: string } {
  const obstacle = findObstacle();
  return { ok: obstacle === undefined, why: obstacle ?? '' };
}

/** The lab's servers: address, FQDN, kind. */
export function addresses(): typeof labServers {
  return labServers;
}

/**
 * Brings the lab up and returns the servers that were booted. A lab that is up in this variant keeps its files, and
 * only what is off is started; anything else (another variant, another base, a crash) makes way for a fresh one.
 * Throws `lab-unavailable`, `lab-no-mirror`, `lab-start-failed`, `lab-timeout`, `lab-busy`.
 */
export async function up(options: UpOptions = {}): Promise<readonly Boot[]> {
  const obstacle = findObstacle();
  if (obstacle !== undefined) {
    throw new CmsadmError('lab-unavailable', `No lab here: ${obstacle}.`, {
      remedy: 'See "What it needs" in docs/lab.md.',
    });
  }
  const { variant = 'default', diskMb, say = () => undefined } = options;
  return withLock(async () => {
    const found = readState();
    const isAsAsked = found?.variant === variant && found.base === baseFolder() && found.diskMb === diskMb;
    if (found?.complete === true && isAsAsked) {
      return Promise.all(serverNames.filter((name) => findGuest(name) === undefined).map(boot));
    }
    await clear();
    const base = await ensureBase(say);
    const servers = { cms1: serverAtRest, cms2: serverAtRest, probe: serverAtRest };
    const size = diskMb === undefined ? {} : { diskMb };
    writeState({ bootId: bootId(), variant, base, ...size, complete: false, servers });
    await makeBridge();
    await makeIdentities();
    const boots = await Promise.all(serverNames.map(bootFresh));
    writeState({ ...requireState(), complete: true });
    return boots;
  });
}

/** Removes everything of the lab but the cached base; also after a crash, and when there is nothing. */
export async function down(): Promise<void> {
  await withLock(clear);
}

/** Gives one server, or all, the disk of a fresh `up` and boots again. Keys stay the same; cable and line are put right. */
export async function reset(name?: ServerName): Promise<readonly Boot[]> {
  return withLock(async () => {
    const names = name === undefined ? serverNames : [name];
    return Promise.all(
      names.map(async (one) => {
        await discard(one);
        return bootFresh(one);
      }),
    );
  });
}

/** Power loss. What the server had written to its disk stays. */
export async function powerOff(name: ServerName): Promise<void> {
  await withLock(() => stop(name));
}

/** Boots a server that is off, on the disk it had. Throws `lab-server-on`. */
export async function powerOn(name: ServerName): Promise<Boot> {
  return withLock(async () => {
    if (findGuest(name) === undefined) return boot(name);
    throw new CmsadmError('lab-server-on', `${name} is on.`, {
      remedy: `npm run lab -- power-off ${name}`,
      server: name,
    });
  });
}

/** Pulls a server's cable; it stays pulled over power-off and power-on. */
export async function cut(name: ServerName): Promise<void> {
  await plug(name, false);
}

/** Puts a server's cable back. */
export async function heal(name: ServerName): Promise<void> {
  await plug(name, true);
}

async function plug(name: ServerName, plugged: boolean): Promise<void> {
  await withLock(async () => {
    updateServer(name, (before) => ({ ...before, cut: !plugged }));
    if (findGuest(name) !== undefined) await setCable(name, plugged);
  });
}

/**
 * Delays (milliseconds) and loses (per cent) what is sent to a server; without options the line is as it was.
 * Throws `lab-relay-failed`, `lab-server-off`.
 */
export async function slow(name: ServerName, line: { delayMs?: number; lossPercent?: number } = {}): Promise<void> {
  await withLock(async () => {
    guestOf(name);
    await slowDown(name, { delayMs: line.delayMs ?? 0, lossPercent: line.lossPercent ?? 0 });
  });
}

/** Stops every process of a server, its cable still in: a machine that hangs. */
export function freeze(name: ServerName): void {
  setFrozen(name, true);
}

/** Lets a frozen server go on. */
export function thaw(name: ServerName): void {
  setFrozen(name, false);
}

/**
 * Runs a command as root inside a server, without SSH, in a clean environment; one final newline of the output is taken off.
 * Throws `lab-command-failed` on a non-zero exit code (unless `reject` is false), and `lab-server-off`. What outlives
 * `timeoutMs` (two minutes) is killed in the server and counts as exit code 124 or 137.
 */
export async function exec(name: ServerName, argv: readonly string[], options: ExecOptions = {}): Promise<RunResult> {
  const seconds = (options.timeoutMs ?? 120_000) / 1000;
  const timed = ['timeout', '--kill-after=2', String(seconds), ...argv];
  return run(enter(guestOf(name), timed), { ...options, timeoutMs: (seconds + 10) * 1000, env: guestEnvironment });
}

/** The bytes of a file of a server, also of one that is off. */
export async function readFile(name: ServerName, path: string): Promise<Buffer> {
  return (await runBytes(reach(name, ['cat', '--', path]), { env: guestEnvironment })).stdout;
}

/** Writes a file of a server, also of one that is off. An existing one keeps its owner and, without `mode`, its mode. */
export async function writeFile(
  name: ServerName,
  path: string,
  bytes: string | Uint8Array,
  options: { readonly mode?: number } = {},
): Promise<void> {
  await run(writing(name, path, options.mode), { input: bytes, env: guestEnvironment });
}

/** Copies a file, or a folder with all that is in it, of this machine to exactly `path` on a server, owned by root. */
export async function copyIn(name: ServerName, localPath: string, path: string): Promise<void> {
  const local = statSync(localPath);
  if (!local.isDirectory()) {
    await run(writing(name, path, local.mode & 0o7777), { inputFile: localPath, env: guestEnvironment });
    return;
  }
  const archive = join(labFolder, `copy-${process.pid}-${name}.tar`);
  const asRoot = ['--owner=0', '--group=0', '--numeric-owner'];
  const unpack = 'mkdir -p "$1" && tar --extract --same-permissions --directory "$1"';
  try {
    await run(['tar', '--create', '--file', archive, ...asRoot, '--directory', localPath, '.']);
    await run(reach(name, ['sh', '-c', unpack, 'sh', path]), { inputFile: archive, env: guestEnvironment });
  } finally {
    await rm(archive, { force: true });
  }
}

function writing(name: ServerName, path: string, mode: number | undefined): readonly [string, ...string[]] {
  const script = 'cat >"$1" && { [ -z "$2" ] || chmod "$2" "$1"; }';
  return reach(name, ['sh', '-c', script, 'sh', path, mode?.toString(8) ?? '']);
}

/**
 * The argv that runs a command in a server's root: inside it, or when it is off, on its disk alone.
 * Never by paths from outside: an absolute symbolic link of the server would lead into this machine's own files.
 */
function reach(name: ServerName, argv: readonly string[]): readonly [string, ...string[]] {
  const guest = findGuest(name);
  return guest === undefined ? ['chroot', serverFolders(name).root, ...argv] : enter(guest, argv);
}
