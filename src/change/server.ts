import { CmsadmError, explained } from '../errors.ts';
import { makeKeyPair } from '../host/pair-key.ts';
import { readFact, readText } from '../host/root.ts';
import type { PublicKey } from '../host/ssh-client.ts';
import type { SshListener } from '../host/ssh-listeners.ts';
import type { Host } from '../host/system.ts';
import { pointLink } from '../host/writing.ts';
import { administeredFact } from '../pair/administered.ts';
import { type Alarm, readAlarms } from '../pair/alarms.ts';
import { type About, type Facts, type ManagedFact, readFacts } from '../pair/facts.ts';
import { type Link, paths } from '../pair/state.ts';
import { readStatus, type SyncStatus } from '../pair/sync-status.ts';
import { backupOf, isTag, isTransactionId, steps, type Tag, type TransactionId, transactionId } from '../pair/tag.ts';
import type { OsFamily, Profile } from '../profile/schema.ts';
import { commit, confirm, putBackAlready } from './apply.ts';
import { type Pruned, pruneBackups, readBackups, type TagBackups } from './backups.ts';
import type { Change } from './change.ts';
import { type Ended, endOwner, type Holder, holderOf } from './end-owner.ts';
import {
  decide,
  durableDecision,
  type Manifest,
  note,
  readableJournal,
  readJournal,
  realEntry,
  transactions,
  unfinished,
} from './journal.ts';
import { type Claim, type LockOwner, releaseLock, takeLock } from './lock.ts';
import { currentRelease } from './program.ts';
import { type PutBack, putBack } from './put-back.ts';
import { acknowledge, type Recovered, recover } from './recover.ts';
import { loginToPeer, refuseOtherVersion } from './remote-server.ts';
import { type Stamps, stage } from './stage.ts';
import type { Decision, Part } from './transitions.ts';
import { arm } from './way-back.ts';

/** A confirmed change that can be restored: its manifest and the contents it replaced. */
export type TagFacts = {
  readonly manifest: Manifest;
  /** What stood in each file before; null where there was none, undefined where the backup is gone. */
  readonly before: Readonly<
    Record<
      string,
      { readonly content: string; readonly mode: number; readonly owner: string; readonly group: string } | null
    >
  >;
  readonly missing: readonly string[];
};

/** One change of this server, as far as a list of tags tells it. */
export type TagSummary = {
  readonly manifest: Manifest;
  readonly decision: Decision | undefined;
  readonly missing: readonly string[];
  /** Its backups were removed by an operator. A server that speaks protocol 1 never prunes and does not say. */
  readonly pruned?: boolean;
};

type Standing = {
  readonly lock: Holder | undefined;
  readonly unfinished: readonly TransactionId[];
  /** What the agent last said of itself; undefined if it never ran since the boot. */
  readonly sync: SyncStatus | undefined;
  readonly alarms: readonly { readonly at: string; readonly text: string }[];
};

/** What one server does of a transaction: the same functions here and, as verbs, on the peer. */
export type Server = {
  facts(about: About): Promise<Facts>;
  standing(): Promise<Standing>;
  lock(claim: Claim): Promise<void>;
  unlock(): Promise<void>;
  /** Ends the process that holds this server's lock, if it still is the one that was seen. */
  endOwner(args: { seen: LockOwner }): Promise<Ended>;
  /** Makes the pair's key in memory if this server has none; tells its public half. */
  key(): Promise<PublicKey>;
  /** Installs the carried program for good. */
  installProgram(): Promise<void>;
  /** Takes the installed program away again, if this session brought it: back to an older release, or to none. */
  removeProgram(): Promise<void>;
  stage(args: { change: Change; part: Part }): Promise<{ id: TransactionId; unjudged: string[] }>;
  arm(args: { id: TransactionId; seconds: number }): Promise<void>;
  commit(args: { id: TransactionId }): Promise<void>;
  asked(args: { id: TransactionId }): Promise<void>;
  confirm(args: { id: TransactionId }): Promise<void>;
  putBack(args: { id: TransactionId; by: 'operator' | 'itself' }): Promise<PutBack>;
  outcome(args: { id: TransactionId }): Promise<Decision | 'undecided' | 'unknown'>;
  /**
   * Settles what is open here; only an operator's `recover` on the other server asks for it.
   * @param args.seen alarms that he was shown
   */
  recover(args: { seen: readonly Alarm[] }): Promise<Recovered>;
  /** A fresh login on the other server with the pair's key; `version`: what must greet there. */
  proveLogin(args: { link: Link; version?: string }): Promise<void>;
  tags(): Promise<readonly TagSummary[]>;
  tag(args: { tag: Tag }): Promise<TagFacts | undefined>;
  /** Administered files as they are here. */
  administered(args: { paths: readonly string[] }): Promise<readonly ManagedFact[]>;
  /** What this server keeps of earlier changes, oldest first. */
  backups(): Promise<readonly TagBackups[]>;
  /** Removes the backups of these tags; paths come from this server's own manifests. */
  prune(args: { tags: readonly Tag[] }): Promise<Pruned>;
};

export type Context = {
  readonly host: Host;
  readonly profile: Profile;
  readonly family: OsFamily;
  /** The private run-time folder of a first contact. */
  readonly carriedIn: string | undefined;
  /** Where the caller of this session is seen to come from (sshd's SSH_CONNECTION). */
  readonly seenFrom?: string | undefined;
  /** The address and port of this server that he came to. */
  readonly cameTo?: SshListener;
};

const noTransaction = (text: string): CmsadmError =>
  new CmsadmError('transaction-unknown', `${JSON.stringify(text)} names no transaction.`);

// Whoever planned may have been overtaken by an operation that died before he had the lock.
function refuseIfOpen(open: readonly TransactionId[], server: string): void {
  if (open.length > 0)
    throw new CmsadmError('unfinished', `An earlier change of ${server} is not settled: ${open.join(', ')}.`, {
      server,
      remedy: `Run \`cmsadm recover\` on ${server}.`,
    });
}

// Names come from the other server and become parts of paths.
const known = (id: TransactionId): TransactionId => {
  if (!isTransactionId(id)) throw noTransaction(id);
  return id;
};

/** Tells what the system refuses (full disk, read-only, no permission) by the file's name. */
export async function writing<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    throw explained(error);
  }
}

/** What the agent said last; of one that is gone, that it is. */
function statusNow({ root, system }: Host): SyncStatus | undefined {
  const status = readStatus(root);
  if (!status || system.processStart(status.pid) !== undefined) return status;
  return { ...status, state: `its agent does not run; last heard ${status.at}` };
}

/** The functions of this very server. */
export function localServer({ host, profile, family, carriedIn, seenFrom, cameTo }: Context): Server {
  /** Transactions that this session began, also those whose stage failed. */
  const begun = new Set<TransactionId>();
  const staged = new Map<TransactionId, { readonly change: Change; readonly stamps: Stamps }>();
  const keyFiles = new Map<string, string>();
  let releaseBefore: string | undefined;
  return {
    facts: (about) => writing(async () => ({ ...(await readFacts(host, profile, about, cameTo)), seenFrom })),
    standing: async () => ({
      lock: holderOf(host),
      unfinished: unfinished(host.root),
      sync: statusNow(host),
      alarms: readAlarms(host.root),
    }),
    lock: (claim) => writing(async () => takeLock(host, claim)),
    unlock: async () => releaseLock(host),
    endOwner: ({ seen }) => endOwner(host, seen),
    key: async () => {
      const [type, base64] = (readText(host.root, `${paths.pairKey}.pub`) ?? '').trim().split(/\s+/);
      const hasPrivate = readFact(host.root, paths.pairKey).state === 'file';
      if (type && base64 && hasPrivate) return { type, base64 };
      const made = makeKeyPair('cmsadm-pair');
      keyFiles.set(paths.pairKey, made.privateKey).set(`${paths.pairKey}.pub`, made.publicLine);
      return made.publicKey;
    },
    installProgram: async () => {
      releaseBefore = currentRelease(host.root);
      if (carriedIn !== undefined) await host.system.runInstaller(carriedIn, ['--brought']);
    },
    removeProgram: async () => {
      if (carriedIn === undefined) return;
      // An older release was somebody's own: it is the one in use again.
      if (releaseBefore !== undefined) pointLink(host.root, paths.program, `releases/${releaseBefore}`);
      else await host.system.runInstaller(carriedIn, ['--remove']);
    },
    stage: async ({ change, part }) => {
      if (!isTag(change.tag) || !steps.includes(change.step)) throw noTransaction(change.tag);
      refuseIfOpen(unfinished(host.root), change.server);
      const id = transactionId(change.tag, change.step);
      if (!transactions(host.root).includes(id)) begun.add(id);
      const { stamps, ...done } = await writing(() =>
        stage(host, profile, family, change, part, (path) => keyFiles.get(path) ?? ''),
      );
      staged.set(done.id, { change, stamps });
      return done;
    },
    arm: async ({ id, seconds }) => arm(host, known(id), Math.trunc(seconds)),
    commit: async ({ id }) => {
      const ready = staged.get(id);
      if (!ready) throw new Error(`${id} was not staged in this session`);
      await writing(() => commit(host, ready.change, ready.stamps));
    },
    asked: async ({ id }) =>
      writing(async () => {
        if (decide(host.root, known(id), 'asked') !== 'asked') throw putBackAlready(id);
        note(host.root, id, 'asked', host.system.clock());
      }),
    confirm: ({ id }) => writing(() => confirm(host, known(id))),
    putBack: async ({ id, by }) => {
      if (by === 'itself') {
        // The coordinator asks, and we are undecided: as if our timer had fired.
        await recover(host, known(id), 'itself');
        return { files: [], edited: [], left: [], leftToDo: [] };
      }
      // A run puts back what it began itself, never an earlier change of the same name.
      if (!begun.has(id)) throw new CmsadmError('transaction-unknown', `${id} was not staged in this session.`);
      return writing(() => putBack(host, known(id), by));
    },
    outcome: async ({ id }) =>
      transactions(host.root).includes(id) ? (durableDecision(host.root, id) ?? 'undecided') : 'unknown',
    recover: async ({ seen }) => acknowledge(host, await recover(host, undefined, 'operator'), seen),
    proveLogin: async ({ link, version }) => {
      const session = await loginToPeer(host, link);
      session.close();
      if (version !== undefined) refuseOtherVersion(session, version);
    },
    tags: async () =>
      transactions(host.root).flatMap((id) => {
        const { manifest, decision, states } = readableJournal(host.root, id) ?? {};
        if (!manifest || !states) return [];
        const missing = readTag(host, manifest.tag)?.missing ?? [];
        return [{ manifest, decision, missing, pruned: states.includes('pruned') }];
      }),
    tag: async ({ tag }) => readTag(host, tag),
    administered: async ({ paths: files }) => files.map((path) => administeredFact(host.root, profile, { path })),
    backups: async () => readBackups(host.root),
    prune: ({ tags }) => writing(() => pruneBackups(host, tags.filter(isTag))),
  };
}

/** What of a tag can be restored: the link stays, and another version of the program is its own matter. */
const restorable = ['change', 'administration'] as const;

function readTag(host: Host, tag: Tag): TagFacts | undefined {
  const known = transactions(host.root);
  const id = restorable.map((step) => transactionId(tag, step)).find((one) => known.includes(one));
  if (id === undefined) return undefined;
  const { manifest } = readJournal(host.root, id);
  const before: Record<string, TagFacts['before'][string]> = {};
  const missing: string[] = [];
  for (const file of manifest.files) {
    if (file.before === null) before[file.path] = null;
    // Of a private key that ended with the link no backup is kept, and none is restored.
    else if (file.kind !== 'pair_key') {
      const backup = readFact(host.root, backupOf(realEntry(file), tag));
      const name = backupOf(file.path, tag);
      if (backup.state !== 'file') missing.push(name);
      // Somebody wrote to it, or to another name of the old file.
      else if (backup.sha256 !== file.before) missing.push(`${name}, which no longer has the old content`);
      else before[file.path] = { content: backup.content, mode: backup.mode, owner: backup.owner, group: backup.group };
    }
  }
  return { manifest, before, missing };
}
