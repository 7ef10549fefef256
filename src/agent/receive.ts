import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import { readAccounts } from './accounts.ts';
import type { Agent } from './agent.ts';
import { applySet } from './apply.ts';
import { type Answer, changesSchema, dataSchema, seqSchema } from './changes.ts';
import { takeChanges, takeIncoming } from './commit.ts';
import { fileSchema, shownPath } from './entry.ts';
import { exportSet } from './export.ts';
import { readPart } from './fetch.ts';
import { rememberFolder } from './guard.ts';
import { begin, drop, grow, type Incoming, writeBack } from './incoming.ts';
import type { LiveSet } from './live-set.ts';
import { holdPlace, makeWriter, removeLeftovers } from './place.ts';
import type { Taker } from './prepare.ts';
import { checked, foreseen, mayWrite, refuseOtherFolder, refuseUndecided, writeFailed } from './refusals.ts';
import { renderOwn } from './render.ts';
import { standingOf } from './standing.ts';
import { closeBulk, isBulkOpen, keepWriting, lockBulk, openBulk, shutBulk, takeFiles, takenFile } from './take.ts';
import { agreeHere, agreeIn, digestsOf, namesIn } from './tree.ts';
import { noteUnapplied } from './unapplied.ts';
import { clearUndecided, readUndecided } from './undecided.ts';

const epoch = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const setName = v.string();
const openArgs = v.strictObject({ epoch });
const setArgs = v.strictObject({ epoch, set: setName });
const listArgs = v.strictObject({ epoch, set: setName, folders: v.array(v.string()) });
const agreeArgs = v.strictObject({
  epoch,
  set: setName,
  folders: v.array(v.string()),
  names: v.array(v.string()),
  /** A person says that the folder here is the right one. */
  released: v.optional(v.literal(true)),
});
const changesArgs = v.strictObject({ epoch, set: setName, changes: changesSchema });
const putArgs = v.strictObject({
  epoch,
  set: setName,
  entry: fileSchema,
  offset: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  data: dataSchema,
  /** With the final part; its entry tells size and digest of what was really sent. */
  seq: v.optional(seqSchema),
});
const takeArgs = v.strictObject({ epoch, set: setName, files: v.array(takenFile) });
const fetchArgs = v.strictObject({
  epoch,
  set: setName,
  path: v.string(),
  offset: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
});
type Put = v.InferOutput<typeof putArgs>;

/**
 * The receiving side of admin-sync, as verbs of one session. The answer to `agentChanges`, and to the last `agentPut` of a
 * file, means: done and on disk.
 *
 * Errors: arguments-refused, data-set-unknown, data-set-missing, path-refused, account-unknown, sync-write-failed;
 * epoch-older, not-secondary and not-paired where the caller may not write here; set-undecided while a person has to
 * decide whose versions of the set stay.
 */
export function receiveVerbs(agent: Agent): {
  readonly verbs: Record<string, (args: unknown) => Promise<unknown>>;
  /** The session is over: what is half-received goes. */
  end(): void;
} {
  const { host, profile } = agent;
  const writer = makeWriter(host);
  /** Files that grow, by set and path: others may pass a large one. */
  const incoming = new Map<string, Incoming>();
  /** What was told of each set since it was compared last. */
  const told = new Map<string, { readonly digests: Map<string, string>; readonly signs: Map<string, string> }>();
  /** While this session lets rsync in. */
  let stopWriting: (() => Promise<void>) | undefined;

  const liveSet = (name: string): LiveSet => {
    const live = agent.sets.get(name);
    if (live) return live;
    throw new CmsadmError('data-set-unknown', `The profile ${profile.name} has no data set "${shownPath(name)}".`, {
      remedy: 'Use the same profile on both servers.',
    });
  };
  /** A data set in which something is to be changed. */
  const taking = (name: string): LiveSet => {
    const live = liveSet(name);
    refuseUndecided(host, name);
    refuseOtherFolder(live.tree);
    return live;
  };
  const { senders } = agent;
  let mine = senders.opened;
  /** Asked at every message that changes something: what is left of a session that was lost must not come after the next. */
  const maySend = (theirs: number): void => {
    mayWrite(host, theirs);
    if (mine === senders.opened) return;
    throw new CmsadmError('session-replaced', 'Another session of the other server sends now.', {
      remedy: '`cmsadm sync status` shows both agents; nothing has to be done.',
    });
  };
  /** What is begun here is waited for by the next session. */
  const begun = <T>(work: Promise<T>): Promise<T> => {
    // Without what they answered: each would hold those before it for ever.
    senders.taking = Promise.allSettled([senders.taking, work]).then(() => undefined);
    return work;
  };
  /** What lies in the database here is a version on which a person decides as well. */
  const exportUndecided = async ({ set }: LiveSet): Promise<void> => {
    if (readUndecided(host.root, set.name)) await begun(exportSet(agent, set, undefined));
  };
  const takerOf = (live: LiveSet, theirs: number): Taker => {
    const may = (): void => {
      maySend(theirs);
      refuseUndecided(host, live.set.name);
    };
    return { agent, live, writer, may };
  };
  const taken = (seq: number | undefined): void => {
    if (seq !== undefined) agent.tell({ seq, acked: seq });
  };
  const abandon = (key: string): void => {
    const half = incoming.get(key);
    incoming.delete(key);
    if (half) drop(half);
  };
  /** Takes a part of a large file; the last one puts it in its place. */
  const putPart = async (live: LiveSet, key: string, { epoch, entry, offset, data, seq }: Put): Promise<Answer> => {
    if (offset === 0) {
      abandon(key);
      incoming.set(key, begin(writer, live.set, entry.path, holdPlace(live.tree, entry.path)));
    }
    const growing = incoming.get(key);
    if (growing?.size !== offset)
      throw new CmsadmError('arguments-refused', `A part of ${shownPath(entry.path)} came out of order.`);
    grow(growing, Buffer.from(data, 'base64'));
    if (seq === undefined) {
      await writeBack(growing);
      return true;
    }
    incoming.delete(key);
    return takeIncoming(takerOf(live, epoch), growing, entry);
  };

  const verbs = {
    heartbeat: async (args: unknown) => {
      checked(openArgs, args);
      return standingOf(host);
    },
    agentOpen: async (args: unknown) => {
      mayWrite(host, checked(openArgs, args).epoch);
      senders.opened += 1;
      senders.inBulk = false;
      mine = senders.opened;
      await senders.taking;
      // Of what rsync left, nobody knows how far it came: the comparison that follows does.
      if (isBulkOpen(agent)) for (const live of agent.sets.values()) live.startOver();
      for (const live of agent.sets.values())
        try {
          const { set } = live;
          foreseen(set.name, set.path, () => {
            shutBulk(agent, live);
            removeLeftovers(host, set);
          });
        } catch (error) {
          // A set that can't be read is told when it is compared; the others go on.
          if (!(error instanceof CmsadmError)) throw error;
        }
      return standingOf(host);
    },
    /** What was edited here since this was last asked, by data set. */
    agentEdits: async (args: unknown) => {
      const { epoch: theirs } = checked(openArgs, args);
      maySend(theirs);
      Object.assign(agent.heard, { at: performance.now(), epoch: theirs });
      const edits = Object.fromEntries(
        [...agent.edits].map(([name, edited]) => {
          const names = agent.sets.get(name)?.tree.names;
          return [name, [...edited].map((path) => [path, names?.get(path)?.here ?? null])];
        }),
      );
      agent.edits.clear();
      return edits;
    },
    agentDigests: async (args: unknown) => {
      const live = liveSet(checked(setArgs, args).set);
      await exportUndecided(live);
      await live.lookAll();
      const digests = Object.fromEntries(digestsOf(live.tree));
      told.set(live.set.name, { digests: new Map(Object.entries(digests)), signs: new Map() });
      return digests;
    },
    agentList: async (args: unknown) => {
      const { set, folders } = checked(listArgs, args);
      const listed = namesIn(liveSet(set).tree, folders);
      for (const [path, sign] of listed) told.get(set)?.signs.set(path, sign);
      return listed;
    },
    agentAgree: async (args: unknown) => {
      const { epoch: theirs, set, folders, names, released } = checked(agreeArgs, args);
      maySend(theirs);
      const live = liveSet(set);
      const { tree } = live;
      refuseUndecided(host, set);
      if (!released) refuseOtherFolder(tree);
      foreseen(set, live.set.path, () => rememberFolder(tree));
      // Only on what the other server was told: what was edited since is nobody's but this server's.
      const { digests, signs } = told.get(set) ?? { digests: new Map(), signs: new Map() };
      told.delete(set);
      const now = digestsOf(tree);
      agreeIn(
        tree,
        folders.filter((folder) => digests.get(folder) === now.get(folder)),
      );
      for (const path of names) agreeHere(tree, path, signs.get(path) ?? '');
      foreseen(set, live.set.path, () => tree.agreed.flush());
      // A full pass came by.
      agent.wantedBells.get(set)?.ring();
      return null;
    },
    agentApply: async (args: unknown) => {
      const { epoch: theirs, set } = checked(setArgs, args);
      maySend(theirs);
      const live = taking(set);
      // First, for the programs may read it.
      const unrendered = renderOwn(agent, live);
      if (unrendered) throw unrendered;
      await begun(applySet(agent, live));
      return null;
    },
    /** Reads a name here for the primary, which takes this server's version of an undecided set. */
    agentFetch: async (args: unknown) => {
      const { epoch: theirs, set, path, offset } = checked(fetchArgs, args);
      maySend(theirs);
      const live = liveSet(set);
      refuseOtherFolder(live.tree);
      return foreseen(set, live.set.path, () => readPart(live.tree, path, offset));
    },
    /** A person decided on the primary whose versions of a set stay. */
    agentDecided: async (args: unknown) => {
      const { epoch: theirs, set } = checked(setArgs, args);
      maySend(theirs);
      const live = liveSet(set);
      try {
        await exportUndecided(live);
      } catch (error) {
        if (!(error instanceof CmsadmError)) throw error;
        // Its database may hold something else than the export here, which then is imported even if no other one comes.
        noteUnapplied(agent, live.set, 'received');
      }
      maySend(theirs);
      clearUndecided(host.root, set);
      agent.bell.ring();
      return null;
    },
    agentBulk: async (args: unknown) => {
      const { epoch: theirs, set } = checked(setArgs, args);
      maySend(theirs);
      const live = taking(set);
      const isOpen = await begun(openBulk(agent, live));
      if (isOpen) stopWriting = keepWriting(agent, live);
      // Another session may have come, or another role.
      maySend(theirs);
      senders.inBulk = isOpen;
      return isOpen;
    },
    agentBulkEnd: async (args: unknown) => {
      const { epoch: theirs, set } = checked(setArgs, args);
      maySend(theirs);
      const live = liveSet(set);
      await stopWriting?.();
      stopWriting = undefined;
      // The disk may have taken long: what is open now may be another session's.
      maySend(theirs);
      senders.inBulk = false;
      await begun(closeBulk(agent, live));
      // What came counts only where it may be taken; nobody comes in any more in any case.
      taking(set);
      live.tree.agreed.flush();
      return null;
    },
    agentTake: async (args: unknown) => {
      const { epoch: theirs, set, files } = checked(takeArgs, args);
      maySend(theirs);
      const live = taking(set);
      noteUnapplied(agent, live.set, 'received');
      // On the disk, and written down, with `agentBulkEnd`.
      return foreseen(set, live.set.path, () => takeFiles(agent, live, readAccounts(host.root), files));
    },
    agentChanges: async (args: unknown) => {
      const { epoch: theirs, set, changes } = checked(changesArgs, args);
      maySend(theirs);
      const answers = await begun(takeChanges(takerOf(taking(set), theirs), changes));
      taken(changes.findLast((_change, index) => typeof answers[index] === 'boolean')?.seq);
      return answers;
    },
    agentPut: async (args: unknown) => {
      const wanted = checked(putArgs, args);
      maySend(wanted.epoch);
      const live = taking(wanted.set);
      const key = `${wanted.set}/${wanted.entry.path}`;
      try {
        const answer = await begun(putPart(live, key, wanted));
        if (typeof answer === 'boolean') taken(wanted.seq);
        return answer;
      } catch (error) {
        abandon(key);
        throw writeFailed(live.set.name, live.set.path, error);
      }
    },
  };
  return {
    verbs,
    end: () => {
      for (const key of [...incoming.keys()]) abandon(key);
      if (!stopWriting) return;
      void stopWriting();
      // What is open may be the next session's.
      if (mine !== senders.opened) return;
      senders.inBulk = false;
      lockBulk(agent);
    },
  };
}
