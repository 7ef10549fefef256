import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import { readText, sha256 } from '../host/root.ts';
import type { Host } from '../host/system.ts';
import { hardLink, makeFolders, removeIfThere, rename, writeNew } from '../host/writing.ts';
import { paths } from '../pair/state.ts';

const ownerSchema = v.object({
  operation: v.string(),
  operator: v.string(),
  /** FQDN of the server on which the operation was started. */
  startedOn: v.string(),
  since: v.string(),
  pid: v.number(),
  processStart: v.string(),
  bootId: v.string(),
});
export type LockOwner = v.InferOutput<typeof ownerSchema>;
export type Claim = Pick<LockOwner, 'operation' | 'operator' | 'startedOn'>;

/**
 * Who holds the lock of this server; undefined if nobody does or its owner is dead. Time alone breaks nothing.
 * @param path another lock of the same kind
 */
export function lockOwner(host: Host, path: string = paths.lock): LockOwner | undefined {
  const text = readText(host.root, path);
  return text === undefined ? undefined : livingOwner(host, text);
}

function livingOwner(host: Host, text: string): LockOwner | undefined {
  const owner = v.safeParse(ownerSchema, parse(text));
  if (!owner.success) return undefined;
  const alive =
    owner.output.bootId === host.system.bootId() &&
    host.system.processStart(owner.output.pid) === owner.output.processStart;
  return alive ? owner.output : undefined;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // torn by a crash while it was written: its owner is dead
  }
}

/**
 * Takes the lock of this server for one operation: it appears whole, by link(2), and a dead owner's is replaced by
 * one process only.
 * @throws CmsadmError locked, with who, what and since when
 */
export function takeLock(host: Host, claim: Claim, path: string = paths.lock): void {
  makeFolders(host.root, '/run/cmsadm', 0o700);
  const own: LockOwner = {
    ...claim,
    since: new Date(host.system.clock()).toISOString(),
    pid: process.pid,
    processStart: host.system.processStart(process.pid) ?? '',
    bootId: host.system.bootId(),
  };
  const mine = `${path}.${process.pid}`;
  removeIfThere(host.root, mine);
  writeNew(host.root, mine, JSON.stringify(own), { mode: 0o600, owner: 'root', group: 'root' });
  try {
    appear(host, mine, path);
  } finally {
    removeIfThere(host.root, mine);
  }
}

/**
 * Gives `mine` the name `path` as well. Where a dead owner's file has that name, the right to replace just that file
 * is taken first, in the same way: a look and a removal alone could hit the lock of somebody who was faster.
 * @param lock what it is all about: the name of a right tells whose place it is for, but is no longer for that
 */
function appear(host: Host, mine: string, path: string, lock = path): void {
  while (!linked(host, mine, path)) {
    const dead = readText(host.root, path);
    if (dead === undefined) continue; // given back since
    const owner = livingOwner(host, dead);
    if (owner) throw locked(owner);
    const right = `${lock}.${sha256(`${path}\n${dead}`).slice(0, 16)}`;
    appear(host, mine, right, lock);
    if (readText(host.root, path) === dead) {
      rename(host.root, right, path);
      return;
    }
    removeIfThere(host.root, right);
  }
}

const linked = (host: Host, mine: string, path: string): boolean => {
  try {
    hardLink(host.root, mine, path);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
};

/** What a second operator is told. @param server whose lock it is, where that is not this one */
export const locked = (owner: LockOwner, server?: string): CmsadmError =>
  new CmsadmError(
    'locked',
    `${owner.operator} is changing this pair: ${owner.operation}, since ${owner.since}, from ${owner.startedOn}.`,
    {
      ...(server === undefined ? {} : { server }),
      remedy: 'Wait until that operation has ended. If it hangs: cmsadm config_HA unlock.',
    },
  );

/** Gives the lock back, if it is this process's. */
export function releaseLock(host: Host, path: string = paths.lock): void {
  if (lockOwner(host, path)?.pid === process.pid) removeIfThere(host.root, path);
}
