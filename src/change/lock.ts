import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import { hardLink, isMissing, makeFolders, readText, removeIfThere, rename, writeNew } from '../host/root.ts';
import type { Host } from '../host/system.ts';
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

/** Who holds the lock of this server; undefined if nobody does or its owner is dead. Time alone breaks nothing. */
export const lockOwner = (host: Host): LockOwner | undefined => ownerIn(host, paths.lock);

function ownerIn(host: Host, path: string): LockOwner | undefined {
  const text = readText(host.root, path);
  if (text === undefined) return undefined;
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
 * Takes the lock of this server for one operation: the lock appears whole, by link(2), and a dead owner's is moved
 * aside and looked at before it counts as gone.
 * @throws CmsadmError locked, with who, what and since when
 */
export function takeLock(host: Host, claim: Claim): void {
  makeFolders(host.root, '/run/cmsadm', 0o700);
  const own: LockOwner = {
    ...claim,
    since: new Date(host.system.clock()).toISOString(),
    pid: process.pid,
    processStart: host.system.processStart(process.pid) ?? '',
    bootId: host.system.bootId(),
  };
  const mine = `${paths.lock}.${process.pid}`;
  removeIfThere(host.root, mine);
  writeNew(host.root, mine, JSON.stringify(own), { mode: 0o600, owner: 'root', group: 'root' });
  try {
    while (!linked(host, mine)) {
      const owner = lockOwner(host);
      if (owner) throw locked(owner);
      moveDeadAside(host, `${mine}.dead`);
    }
  } finally {
    removeIfThere(host.root, mine);
  }
}

const linked = (host: Host, mine: string): boolean => {
  try {
    hardLink(host.root, mine, paths.lock);
    return true;
  } catch (error) {
    if (readText(host.root, paths.lock) === undefined && !isTaken(error)) throw error;
    return false;
  }
};

const isTaken = (error: unknown): boolean => error instanceof Error && 'code' in error && error.code === 'EEXIST';

/** Moves the lock of a dead owner away; one that somebody took since our look is put back. */
function moveDeadAside(host: Host, aside: string): void {
  try {
    rename(host.root, paths.lock, aside);
  } catch (error) {
    if (isMissing(error)) return; // somebody else was faster
    throw error;
  }
  const alive = ownerIn(host, aside);
  if (alive) {
    linked(host, aside);
    removeIfThere(host.root, aside);
    throw locked(alive);
  }
  removeIfThere(host.root, aside);
}

const locked = (owner: LockOwner): CmsadmError =>
  new CmsadmError(
    'locked',
    `${owner.operator} is changing this pair: ${owner.operation}, since ${owner.since}, from ${owner.startedOn}.`,
    { remedy: 'Wait until that operation has ended.' },
  );

/** Gives the lock back, if it is this process's. */
export function releaseLock(host: Host): void {
  if (lockOwner(host)?.pid === process.pid) removeIfThere(host.root, paths.lock);
}
