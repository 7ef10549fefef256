import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import type { Host } from '../host/system.ts';
import { readPair } from '../pair/state.ts';
import { isSystemError } from './data-set.ts';
import { folderOfSet } from './guard.ts';
import { hasAuthority } from './standing.ts';
import type { Tree } from './tree.ts';
import { readUndecided, undecidedError } from './undecided.ts';

/** The arguments of a message in their schema. @throws CmsadmError arguments-refused */
export function checked<Schema extends v.GenericSchema>(schema: Schema, args: unknown): v.InferOutput<Schema> {
  const parsed = v.safeParse(schema, args);
  if (parsed.success) return parsed.output;
  throw new CmsadmError('arguments-refused', 'A message of the other server is not in order.', {
    details: parsed.issues.map((issue) => `${v.getDotPath(issue) ?? 'message'}: ${issue.message.slice(0, 200)}`),
    remedy: 'Install the same version of cmsadm on both servers.',
  });
}

/**
 * Asked at every write: a role may change while a session is open.
 * @throws CmsadmError not-paired, epoch-older, not-secondary
 */
export function mayWrite(host: Host, epochOfCaller: number): void {
  const pair = readPair(host.root);
  if (!pair)
    throw new CmsadmError('not-paired', 'This server belongs to no pair.', {
      remedy: 'Set up the roles: cmsadm config_HA setup.',
    });
  if (epochOfCaller < pair.epoch)
    throw new CmsadmError(
      'epoch-older',
      `This server is at epoch ${pair.epoch}; data of epoch ${epochOfCaller} is refused.`,
      { remedy: 'Compare the roles on both servers: cmsadm config_HA show.' },
    );
  if (hasAuthority(host, pair))
    throw new CmsadmError(
      'not-secondary',
      `This server is the primary of epoch ${pair.epoch}; it takes no data from the other.`,
      {
        remedy: 'Compare the roles on both servers: cmsadm config_HA show. If cmsadm-agent is stopped there, start it.',
      },
    );
}

/** @throws CmsadmError set-undecided while a person has to decide whose versions of a data set stay */
export function refuseUndecided({ root }: Host, set: string): void {
  const mark = readUndecided(root, set);
  const pair = mark && readPair(root);
  if (pair) throw undecidedError(pair, set, mark);
}

/**
 * A secondary whose disk is not mounted must not fill the folder below it.
 * @throws CmsadmError folder-other
 */
export function refuseOtherFolder(tree: Tree): void {
  // A missing one is told by who needs it.
  if (folderOfSet(tree) !== 'another') return;
  const { host, set } = tree;
  const { primary, secondary } = readPair(host.root) ?? {};
  const server = secondary?.fqdn ?? 'the secondary';
  const release = `cmsadm sync release ${set.name}`;
  // What waits for a decision is not held, and is not released.
  const isUndecided = readUndecided(host.root, set.name) !== undefined;
  const keep = `cmsadm sync keep ${primary?.fqdn ?? 'primary'} --set ${set.name}`;
  throw new CmsadmError(
    'folder-other',
    `${set.path} on ${server} is another folder than before: is a disk not mounted there, or another one?`,
    {
      server,
      file: set.path,
      remedy: `Mount it there. If it is the right one now, run on the primary: ${isUndecided ? `${keep}, then ${release}` : release}`,
    },
  );
}

/** What the system refuses here is told to the other server as an error of this data set. */
export function foreseen<T>(name: string, path: string, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    throw writeFailed(name, path, cause);
  }
}

/** What was thrown where a data set is written, as an error that can be told. @throws what is none: a bug */
export function writeFailed(name: string, path: string, cause: unknown): CmsadmError {
  if (cause instanceof CmsadmError) return cause;
  if (!isSystemError(cause)) throw cause;
  return new CmsadmError('sync-write-failed', `The data set ${name} cannot be written: ${cause.code}.`, {
    file: path,
    cause,
    remedy: 'Check free space and permissions below that folder and below /var/lib/cmsadm.',
  });
}
