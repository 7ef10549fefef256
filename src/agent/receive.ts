import * as fs from 'node:fs';
import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import type { Agent } from './agent.ts';
import { applySet, noteUnapplied } from './apply.ts';
import { entrySchema, type FileEntry, PART, shownPath, signOf } from './entry.ts';
import { readPart } from './fetch.ts';
import { begin, drop, finish, grow, type Incoming } from './incoming.ts';
import { recordConflict } from './kept.ts';
import type { LiveSet } from './live-set.ts';
import { ownVersion } from './own-version.ts';
import { type Held, holdPlace, makeWriter, putFolder, putLink, remove, removeLeftovers } from './place.ts';
import { checked, foreseen, mayWrite, refuseUndecided } from './refusals.ts';
import { standingOf } from './standing.ts';
import { closeBulk, openBulk, shutBulk, takeFiles, takenFile } from './take.ts';
import { agreeHere, agreeIn, digestsOf, nameOf, namesIn, setHere, stampOf } from './tree.ts';
import { clearUndecided } from './undecided.ts';

const epoch = v.pipe(v.number(), v.safeInteger(), v.minValue(0));
const seq = v.pipe(v.number(), v.safeInteger(), v.minValue(1));
const setName = v.string();
const openArgs = v.strictObject({ epoch });
const setArgs = v.strictObject({ epoch, set: setName });
const listArgs = v.strictObject({ epoch, set: setName, folders: v.array(v.string()) });
const agreeArgs = v.strictObject({ epoch, set: setName, folders: v.array(v.string()), names: v.array(v.string()) });
const putArgs = v.strictObject({
  epoch,
  seq,
  set: setName,
  entry: entrySchema,
  offset: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
  data: v.pipe(v.string(), v.maxLength(Math.ceil(PART / 3) * 4)),
  /** True with the final part; its entry tells size and digest of what was really sent. */
  last: v.boolean(),
});
const takeArgs = v.strictObject({ epoch, set: setName, files: v.array(takenFile) });
const removeArgs = v.strictObject({ epoch, seq, set: setName, path: v.string() });
const fetchArgs = v.strictObject({
  epoch,
  set: setName,
  path: v.string(),
  offset: v.pipe(v.number(), v.safeInteger(), v.minValue(0)),
});
type Put = v.InferOutput<typeof putArgs>;

/**
 * The receiving side of admin-sync, as verbs of one session. Each answer to an `agentPut` or `agentRemove` means: done and
 * on disk.
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
  /** A local version that is about to be replaced although the other server never had it. */
  let losing: Awaited<ReturnType<typeof ownVersion>>;
  const writer = makeWriter(host, (set, path, kept) => {
    if (losing?.path !== path) return;
    agent.event('sync-conflict', recordConflict(host, set, path, losing.owner, kept));
  });
  let incoming: Incoming | undefined;

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
    return live;
  };
  const abandon = (): void => {
    if (!incoming) return;
    const { held } = incoming;
    drop(incoming);
    fs.closeSync(held.handle);
    incoming = undefined;
  };
  const putPart = (live: LiveSet, put: Put, entry: FileEntry): Held | undefined => {
    const { set } = live;
    if (put.offset === 0) {
      abandon();
      const held = holdPlace(host, set, entry.path);
      try {
        incoming = begin(writer, set, entry.path, held);
      } catch (error) {
        fs.closeSync(held.handle);
        throw error;
      }
    }
    if (!incoming || incoming.set !== set || incoming.path !== entry.path || incoming.size !== put.offset)
      throw new CmsadmError('arguments-refused', `A part of ${shownPath(entry.path)} came out of order.`);
    grow(incoming, Buffer.from(put.data, 'base64'));
    if (!put.last) return undefined;
    const { held } = incoming;
    finish(writer, incoming, entry);
    incoming = undefined;
    return held;
  };
  /** Looks whether this server has a version of its own that the other one never had. */
  const noticeLoser = async (live: LiveSet, path: string, wanted: string | undefined): Promise<void> => {
    losing = undefined;
    losing = await ownVersion(host, live, path, wanted);
  };
  const put = async (args: Put): Promise<null> => {
    const { entry } = args;
    const live = taking(args.set);
    const { set, tree } = live;
    const sign = signOf(entry);
    if (entry.type !== 'file' || args.last) {
      await noticeLoser(live, entry.path, sign);
      noteUnapplied(agent, set);
    }
    foreseen(set.name, set.path, () => {
      let held: Held | undefined;
      if (entry.type === 'file') held = putPart(live, args, entry);
      else held = holdPlace(host, set, entry.path);
      if (!held) return;
      try {
        if (entry.type === 'folder') putFolder(writer, set, entry, held);
        else if (entry.type === 'link') putLink(writer, set, entry, held);
        const stamp = stampOf(fs.lstatSync(held.place));
        setHere(tree, entry.path, nameOf(tree, entry.path), sign, stamp);
        tree.agreed.set(entry.path, { sign, stamp });
      } finally {
        fs.closeSync(held.handle);
      }
    });
    tree.agreed.flush();
    agent.tell({ seq: args.seq, acked: args.seq });
    return null;
  };

  const verbs = {
    heartbeat: async (args: unknown) => {
      checked(openArgs, args);
      return standingOf(host);
    },
    agentOpen: async (args: unknown) => {
      mayWrite(host, checked(openArgs, args).epoch);
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
      mayWrite(host, theirs);
      Object.assign(agent.heard, { at: performance.now(), epoch: theirs });
      const told = Object.fromEntries(
        [...agent.edits].map(([name, edited]) => {
          const names = agent.sets.get(name)?.tree.names;
          return [name, [...edited].map((path) => [path, names?.get(path)?.here ?? null])];
        }),
      );
      agent.edits.clear();
      return told;
    },
    agentDigests: async (args: unknown) => {
      const live = liveSet(checked(setArgs, args).set);
      await live.lookAll();
      return Object.fromEntries(digestsOf(live.tree));
    },
    agentList: async (args: unknown) => {
      const { set, folders } = checked(listArgs, args);
      return namesIn(liveSet(set).tree, folders);
    },
    agentAgree: async (args: unknown) => {
      const { epoch: theirs, set, folders, names } = checked(agreeArgs, args);
      mayWrite(host, theirs);
      const { tree } = taking(set);
      agreeIn(tree, folders);
      for (const path of names) agreeHere(tree, path);
      tree.agreed.flush();
      // A full pass came by.
      agent.wantedBells.get(set)?.ring();
      return null;
    },
    agentApply: async (args: unknown) => {
      const { epoch: theirs, set } = checked(setArgs, args);
      mayWrite(host, theirs);
      await applySet(agent, taking(set));
      return null;
    },
    /** Reads a name here for the primary, which takes this server's version of an undecided set. */
    agentFetch: async (args: unknown) => {
      const { epoch: theirs, set, path, offset } = checked(fetchArgs, args);
      mayWrite(host, theirs);
      const live = liveSet(set);
      return foreseen(set, live.set.path, () => readPart(host, live.set, path, offset));
    },
    /** A person decided on the primary whose versions of a set stay. */
    agentDecided: async (args: unknown) => {
      const { epoch: theirs, set } = checked(setArgs, args);
      mayWrite(host, theirs);
      liveSet(set);
      clearUndecided(host.root, set);
      agent.bell.ring();
      return null;
    },
    agentBulk: async (args: unknown) => {
      const { epoch: theirs, set } = checked(setArgs, args);
      mayWrite(host, theirs);
      return openBulk(agent, taking(set));
    },
    agentBulkEnd: async (args: unknown) => {
      const { epoch: theirs, set } = checked(setArgs, args);
      mayWrite(host, theirs);
      await closeBulk(agent, liveSet(set));
      return null;
    },
    agentTake: async (args: unknown) => {
      const { epoch: theirs, set, files } = checked(takeArgs, args);
      mayWrite(host, theirs);
      const live = taking(set);
      noteUnapplied(agent, live.set);
      const taken = foreseen(set, live.set.path, () => takeFiles(agent, live, writer.accounts(), files));
      live.tree.agreed.flush();
      return taken;
    },
    agentPut: async (args: unknown) => {
      const wanted = checked(putArgs, args);
      mayWrite(host, wanted.epoch);
      try {
        return await put(wanted);
      } catch (error) {
        abandon();
        throw error;
      }
    },
    agentRemove: async (args: unknown) => {
      const { set: name, path, epoch: theirs, seq: number } = checked(removeArgs, args);
      mayWrite(host, theirs);
      const live = taking(name);
      const held = holdPlace(host, live.set, path);
      try {
        await noticeLoser(live, path, undefined);
        noteUnapplied(agent, live.set);
        const gone = foreseen(name, live.set.path, () => remove(writer, live.set, path, held));
        if (gone) {
          setHere(live.tree, path, nameOf(live.tree, path), undefined, '');
          live.tree.names.delete(path);
          live.tree.agreed.remove(path);
        }
        agent.tell({ seq: number, acked: number });
        return gone;
      } finally {
        fs.closeSync(held.handle);
        live.tree.agreed.flush();
      }
    },
  };
  return { verbs, end: abandon };
}
