import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import { makeFolders, readText, removeIfThere, writeNew } from '../host/root.ts';
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
export function lockOwner(host: Host): LockOwner | undefined {
  const text = readText(host.root, paths.lock);
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
 * Takes the lock of this server for one operation.
 * @throws CmsadmError locked, with who, what and since when
 */
export function takeLock(host: Host, claim: Claim): void {
  const owner = lockOwner(host);
  if (owner) throw locked(owner);
  removeIfThere(host.root, paths.lock);
  makeFolders(host.root, '/run/cmsadm', 0o700);
  const own: LockOwner = {
    ...claim,
    since: new Date(host.system.clock()).toISOString(),
    pid: process.pid,
    processStart: host.system.processStart(process.pid) ?? '',
    bootId: host.system.bootId(),
  };
  try {
    writeNew(host.root, paths.lock, JSON.stringify(own), { mode: 0o600, owner: 'root', group: 'root' });
  } catch (error) {
    const faster = lockOwner(host); // somebody took it between our look and our write
    throw faster ? locked(faster) : error;
  }
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
