import { createHash, type Hash } from 'node:crypto';
import * as fs from 'node:fs';
import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import type { Host } from '../host/system.ts';
import { readPair } from '../pair/state.ts';
import type { Profile } from '../profile/schema.ts';
import { type Digests, isSystemError, scan } from './data-set.ts';
import { type DataSet, entrySchema, type FileEntry, shownPath } from './entry.ts';
import { makeWriter, moveIn, putFolder, putLink, remove, removeLeftovers, safePlace, type Writer } from './place.ts';
import { hasAuthority, standingOf } from './standing.ts';

/** Largest part of a file in one message, before it is written as base64. */
export const PART = 1_048_576;

const epoch = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const openArgs = v.strictObject({ epoch });
const listArgs = v.strictObject({ set: v.string() });
const putArgs = v.strictObject({
  epoch,
  set: v.string(),
  entry: entrySchema,
  offset: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  data: v.pipe(v.string(), v.maxLength(Math.ceil(PART / 3) * 4)),
  /** True with the final part; its entry tells size and digest of what was really sent. */
  last: v.boolean(),
});
const removeArgs = v.strictObject({ epoch, set: v.string(), path: v.string() });
type Put = v.InferOutput<typeof putArgs>;

/**
 * The receiving side of admin-sync, as verbs of a session. Each answer to a `syncPut` or `syncRemove` means: done and
 * on disk.
 *
 * Errors: arguments-refused, data-set-unknown, data-set-missing, path-refused, account-unknown, sync-write-failed;
 * epoch-older, not-secondary and not-paired where the caller may not write here.
 */
export function syncVerbs(host: Host, profile: Profile): Record<string, (args: unknown) => Promise<unknown>> {
  const digests = new Map<string, Digests>();
  const writer = makeWriter(host);
  let incoming: Incoming | undefined;

  const setOf = (name: string): DataSet => {
    const set = profile.dataSets.find((one) => one.name === name);
    if (set) return set;
    throw new CmsadmError('data-set-unknown', `The profile ${profile.name} has no data set "${shownPath(name)}".`, {
      remedy: 'Use the same profile on both servers.',
    });
  };
  const abandon = (): void => {
    if (incoming) drop(incoming);
    incoming = undefined;
  };
  const putPart = (set: DataSet, put: Put, entry: FileEntry): void => {
    if (put.offset === 0) {
      abandon();
      incoming = begin(writer, set, entry.path);
    }
    if (!incoming || incoming.set !== set || incoming.path !== entry.path || incoming.size !== put.offset)
      throw new CmsadmError('arguments-refused', `A part of ${shownPath(entry.path)} came out of order.`);
    grow(incoming, Buffer.from(put.data, 'base64'));
    if (!put.last) return;
    finish(writer, incoming, entry);
    incoming = undefined;
  };

  return {
    heartbeat: async (args) => {
      checked(openArgs, args);
      return standingOf(host);
    },
    syncOpen: async (args) => {
      mayWrite(host, checked(openArgs, args).epoch);
      for (const set of profile.dataSets) foreseen(set, () => removeLeftovers(host, set));
      return standingOf(host);
    },
    syncList: async (args) => {
      const set = setOf(checked(listArgs, args).set);
      const known = digests.get(set.name) ?? new Map();
      digests.set(set.name, known);
      return scan(host, set, known);
    },
    syncPut: async (args) => {
      const put = checked(putArgs, args);
      mayWrite(host, put.epoch);
      const set = setOf(put.set);
      const { entry } = put;
      try {
        foreseen(set, () => {
          if (entry.type === 'folder') putFolder(writer, set, entry);
          else if (entry.type === 'link') putLink(writer, set, entry);
          else putPart(set, put, entry);
        });
      } catch (error) {
        abandon();
        throw error;
      }
      return null;
    },
    syncRemove: async (args) => {
      const { set: name, path, epoch: theirs } = checked(removeArgs, args);
      mayWrite(host, theirs);
      const set = setOf(name);
      return foreseen(set, () => remove(writer, set, path));
    },
  };
}

function checked<Schema extends v.GenericSchema>(schema: Schema, args: unknown): v.InferOutput<Schema> {
  const parsed = v.safeParse(schema, args);
  if (parsed.success) return parsed.output;
  throw new CmsadmError('arguments-refused', 'A message of the other server is not in order.', {
    details: parsed.issues.map((issue) => `${v.getDotPath(issue) ?? 'message'}: ${issue.message.slice(0, 200)}`),
    remedy: 'Install the same version of cmsadm on both servers.',
  });
}

// Asked at every write: a role may change while a session is open.
function mayWrite(host: Host, epochOfCaller: number): void {
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

/** What the system refuses here is told to the other server as an error of this data set. */
function foreseen<T>(set: DataSet, work: () => T): T {
  try {
    return work();
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    throw new CmsadmError('sync-write-failed', `The data set ${set.name} cannot be written: ${cause.code}.`, {
      file: set.path,
      cause,
      remedy: 'Check free space and permissions below that folder and below /var/lib/cmsadm.',
    });
  }
}

/** A file that is growing under its temporary name. */
type Incoming = {
  readonly set: DataSet;
  readonly path: string;
  readonly temporary: Buffer;
  readonly file: number;
  readonly hash: Hash;
  size: number;
};

function begin(writer: Writer, set: DataSet, path: string): Incoming {
  const temporary = writer.temporary(safePlace(writer.host, set, path));
  const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = fs.constants;
  const file = fs.openSync(temporary, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o600);
  return { set, path, temporary, file, hash: createHash('sha256'), size: 0 };
}

function grow(incoming: Incoming, data: Buffer): void {
  fs.writeFileSync(incoming.file, data);
  incoming.hash.update(data);
  incoming.size += data.length;
}

function finish(writer: Writer, incoming: Incoming, entry: FileEntry): void {
  const { set, path, file, temporary } = incoming;
  if (entry.size !== incoming.size || entry.sha256 !== incoming.hash.copy().digest('hex'))
    throw new CmsadmError('arguments-refused', `${shownPath(path)} did not arrive as it was sent.`);
  const place = safePlace(writer.host, set, path);
  const accounts = writer.accounts();
  if (writer.host.root.ownersCount) fs.fchownSync(file, accounts.uid(entry.owner), accounts.gid(entry.group));
  fs.fchmodSync(file, entry.mode);
  fs.futimesSync(file, entry.mtimeMs / 1000, entry.mtimeMs / 1000);
  fs.fsyncSync(file);
  moveIn(writer, set, path, temporary, place);
  fs.closeSync(file);
}

function drop({ file, temporary }: Incoming): void {
  fs.closeSync(file);
  fs.rmSync(temporary, { force: true });
}
