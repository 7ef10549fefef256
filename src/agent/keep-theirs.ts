import * as fs from 'node:fs';
import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import type { Agent } from './agent.ts';
import { applySet, noteUnapplied } from './apply.ts';
import { type Entry, shownPath, signOf } from './entry.ts';
import { partSchema } from './fetch.ts';
import { begin, drop, finish, grow, type Incoming } from './incoming.ts';
import { recordConflict } from './kept.ts';
import type { LiveSet } from './live-set.ts';
import { ownVersion } from './own-version.ts';
import { difference } from './pass.ts';
import { type Held, holdPlace, makeWriter, putFolder, putLink, remove, type Writer } from './place.ts';
import { foreseen } from './refusals.ts';
import { type Line, workOf } from './send.ts';
import { nameOf, setHere, stampOf } from './tree.ts';

/**
 * Makes a data set here what it is on the other server, name by name, with the same code that writes there; what is
 * replaced or removed is kept, and a version of this server's own is recorded as a conflict. May be run again.
 * @throws CmsadmError keep-refused where nothing is there, keep-incomplete with the names that could not be taken;
 *   session-lost, data-set-missing, data-set-unreadable, sync-write-failed, apply-failed
 */
export async function takeTheirs(agent: Agent, line: Line, live: LiveSet): Promise<void> {
  const { set, tree } = live;
  await difference(line, live);
  const names = [...tree.names.values()];
  if (names.some(({ here }) => here !== undefined) && !names.some(({ there }) => there !== undefined))
    throw new CmsadmError('keep-refused', `The data set ${set.name} is empty on the other server.`, {
      remedy: 'Is a disk not mounted there? If it shall be empty, empty it on this server, and keep this server’s.',
    });
  // The work of a sender that has what the other server has.
  const turned = new Map(
    [...tree.names].map(([path, name]) => [path, { ...name, here: name.there, there: name.here }]),
  );
  const work = workOf({ ...tree, names: turned });
  noteUnapplied(agent, set);
  const problems: string[] = [];
  const each = async (paths: readonly string[], act: (path: string) => Promise<void>): Promise<void> => {
    for (const path of paths)
      try {
        await act(path);
      } catch (error) {
        if (
          !(error instanceof CmsadmError) ||
          !['path-refused', 'account-unknown', 'changed-there'].includes(error.code)
        )
          throw error;
        problems.push(`${shownPath(path)}: ${error.message}`);
      }
  };
  const taking = { agent, line, live, ...makeTaking(agent, live) };
  await each(work.clear, (path) => removeOne(taking, path));
  await each(work.put, (path) => takeOne(taking, path));
  await each(work.remove, (path) => removeOne(taking, path));
  if (problems.length > 0)
    throw new CmsadmError('keep-incomplete', `${problems.length} names of ${set.name} could not be taken.`, {
      details: problems.slice(0, 50),
      remedy: 'Put these right and run it again; until then the data set stays undecided.',
    });
  await applySet(agent, live);
}

type Taking = {
  readonly agent: Agent;
  readonly line: Line;
  readonly live: LiveSet;
  readonly writer: Writer;
  /** Notes that a name is about to be replaced: what is kept of it then may be a conflict. */
  replacing(path: string, wanted: string | undefined): Promise<void>;
};

function makeTaking({ host, event }: Agent, live: LiveSet): Pick<Taking, 'writer' | 'replacing'> {
  let losing: Awaited<ReturnType<typeof ownVersion>>;
  return {
    writer: makeWriter(host, (set, path, kept) => {
      if (losing?.path !== path) return;
      event('sync-conflict', recordConflict(host, set, path, losing.owner, kept));
    }),
    replacing: async (path, wanted) => {
      losing = await ownVersion(host, live, path, wanted);
    },
  };
}

async function removeOne({ agent, live, writer, replacing }: Taking, path: string): Promise<void> {
  const { set, tree } = live;
  await replacing(path, undefined);
  const held = holdPlace(agent.host, set, path);
  try {
    if (foreseen(set.name, set.path, () => remove(writer, set, path, held)))
      setHere(tree, path, nameOf(tree, path), undefined, '');
  } finally {
    fs.closeSync(held.handle);
  }
}

const changedThere = (): CmsadmError => new CmsadmError('changed-there', 'it changed on the other server meanwhile.');

async function takeOne(taking: Taking, path: string): Promise<void> {
  const { agent, line, live, writer, replacing } = taking;
  const { set, tree } = live;
  const part = async (offset: number) =>
    v.parse(partSchema, await line.session.call('agentFetch', { epoch: line.epoch, set: set.name, path, offset }));
  const first = await part(0);
  if (!first) throw changedThere();
  const held = holdPlace(agent.host, set, path);
  const putHere = async (entry: Entry, put: () => void): Promise<void> => {
    const sign = signOf(entry);
    await replacing(path, sign);
    foreseen(set.name, set.path, put);
    setHere(tree, path, nameOf(tree, path), sign, stampOf(fs.lstatSync(held.place)));
  };
  try {
    if (first.type === 'folder') {
      const entry = { ...first, path };
      await putHere(entry, () => putFolder(writer, set, entry, held));
    } else if (first.type === 'link') {
      const entry = { ...first, path };
      await putHere(entry, () => putLink(writer, set, entry, held));
    } else await takeFile(writer, live, path, held, first, part, putHere);
  } finally {
    fs.closeSync(held.handle);
  }
}

type Part = v.InferOutput<typeof partSchema>;

async function takeFile(
  writer: Writer,
  { set }: LiveSet,
  path: string,
  held: Held,
  first: Extract<Part, { type: 'file' }>,
  part: (offset: number) => Promise<Part>,
  putHere: (entry: Entry, put: () => void) => Promise<void>,
): Promise<void> {
  const incoming: Incoming = foreseen(set.name, set.path, () => begin(writer, set, path, held));
  let isPlaced = false;
  try {
    for (let now: Part = first; ; now = await part(incoming.size)) {
      if (now?.type !== 'file' || now.stamp !== first.stamp) throw changedThere();
      const data = Buffer.from(now.data, 'base64');
      foreseen(set.name, set.path, () => grow(incoming, data));
      if (incoming.size >= first.size) break;
      if (data.length === 0) throw changedThere();
    }
    const { type, owner, group, mode, mtimeMs, size } = first;
    const entry = { type, path, owner, group, mode, mtimeMs, size, sha256: incoming.hash.copy().digest('hex') };
    await putHere(entry, () => {
      finish(writer, incoming, entry);
      isPlaced = true;
    });
  } finally {
    if (!isPlaced) drop(incoming);
  }
}
