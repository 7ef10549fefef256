import { CmsadmError } from '../errors.ts';
import { readPair } from '../pair/state.ts';
import type { Agent } from './agent.ts';
import { answered } from './answers.ts';
import { applySet } from './apply.ts';
import type { Answer } from './changes.ts';
import { takeChanges, takeIncoming } from './commit.ts';
import { type FileEntry, shownPath } from './entry.ts';
import { type Part, partSchema } from './fetch.ts';
import { begin, drop, grow, type Incoming, writeBack } from './incoming.ts';
import type { Line } from './line.ts';
import type { LiveSet } from './live-set.ts';
import { makeNames } from './names.ts';
import { difference } from './pass.ts';
import { holdPlace, makeWriter } from './place.ts';
import type { Taker } from './prepare.ts';
import { writeFailed } from './refusals.ts';
import { hasAuthority } from './standing.ts';
import { workOf } from './work.ts';

/**
 * Makes a data set here what it is on the other server, name by name, with the same code that writes there; what is
 * replaced or removed is kept, and a version of this server's own is recorded as a conflict. May be run again.
 * @throws CmsadmError keep-refused where nothing is there, keep-incomplete with the names that could not be taken;
 *   folder-other where the other server's disk is away; session-lost, data-set-missing, data-set-unreadable, sync-write-failed, apply-failed
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
  const turned = makeNames();
  for (const [path, { here, there }] of tree.names) Object.assign(turned.make(path), { here: there, there: here });
  const work = workOf({ names: turned });
  const taker = takerHere(agent, line, live);
  const problems: string[] = [];
  const each = async (paths: readonly string[], act: (path: string) => Promise<Answer>): Promise<void> => {
    for (const path of paths) {
      const answer = await act(path);
      if (typeof answer === 'boolean') continue;
      if (answer.code === 'sync-write-failed') throw new CmsadmError(answer.code, answer.message, { file: set.path });
      problems.push(`${shownPath(path)}: ${answer.message}`);
    }
  };
  const removeOne = async (path: string): Promise<Answer> => {
    const [answer = false] = await takeChanges(taker, [{ kind: 'remove', seq: 1, path }]);
    return answer;
  };
  // That a name is not there says nothing while the disk there is away: asked for one that is, the other server refuses.
  const [asked = ''] = [...tree.names].flatMap(([path, { there }]) => (there === undefined ? [] : [path]));
  const requireDisk = (): Promise<Part> => fetchPart(line, set.name, asked, 0);
  if (work.clear.length + work.remove.length > 0) await requireDisk();
  await each(work.clear, removeOne);
  await each(work.put, (path) => takeOne(taker, line, path));
  if (work.remove.length > 0) await requireDisk();
  await each(work.remove, removeOne);
  if (problems.length > 0)
    throw new CmsadmError('keep-incomplete', `${problems.length} names of ${set.name} could not be taken.`, {
      details: problems.slice(0, 50),
      remedy: 'Put these right and run it again; until then the data set stays undecided.',
    });
  await applySet(agent, live);
}

/** Writes here only while this server administers under the epoch of the decision. */
function takerHere(agent: Agent, { epoch }: Line, live: LiveSet): Taker {
  const { host } = agent;
  const may = (): void => {
    const pair = readPair(host.root);
    if (pair?.epoch === epoch && hasAuthority(host, pair)) return;
    throw new CmsadmError('epoch-older', `The decision was made under epoch ${epoch}, which is over.`, {
      remedy: 'Compare the roles on both servers: cmsadm config_HA show.',
    });
  };
  return { agent, live, writer: makeWriter(host), may };
}

const changedThere: Answer = { code: 'changed-there', message: 'it changed on the other server meanwhile.' };

const fetchPart = async ({ session, epoch }: Line, set: string, path: string, offset: number): Promise<Part> =>
  answered(partSchema, await session.call('agentFetch', { epoch, set, path, offset }));

/** Takes one name of the other server; what is in the way of it is the answer. */
async function takeOne(taker: Taker, line: Line, path: string): Promise<Answer> {
  const set = taker.live.set.name;
  const part = (offset: number): Promise<Part> => fetchPart(line, set, path, offset);
  try {
    const first = await part(0);
    if (!first) return changedThere;
    if (first.type === 'file') return await takeFile(taker, path, first, part);
    const [answer = false] = await takeChanges(taker, [{ kind: 'put', seq: 1, entry: { ...first, path }, data: '' }]);
    return answer;
  } catch (error) {
    const refused = writeFailed(set, taker.live.set.path, error);
    if (refused.code !== 'path-refused') throw refused;
    return { code: refused.code, message: refused.message };
  }
}

async function takeFile(
  taker: Taker,
  path: string,
  first: Extract<Part, { type: 'file' }>,
  part: (offset: number) => Promise<Part>,
): Promise<Answer> {
  const { set, tree } = taker.live;
  let incoming: Incoming | undefined = begin(taker.writer, set, path, holdPlace(tree, path));
  try {
    for (let now: Part = first; ; now = await part(incoming.size)) {
      if (now?.type !== 'file' || now.stamp !== first.stamp) return changedThere;
      const data = Buffer.from(now.data, 'base64');
      grow(incoming, data);
      await writeBack(incoming);
      if (incoming.size >= first.size) break;
      if (data.length === 0) return changedThere;
    }
    const { type, owner, group, mode, mtimeMs, size, same } = first;
    const entry: FileEntry = {
      type,
      path,
      owner,
      group,
      mode,
      mtimeMs,
      size,
      sha256: incoming.hash.copy().digest('hex'),
    };
    if (same !== undefined) {
      const [linked = false] = await takeChanges(taker, [{ kind: 'put', seq: 1, entry: { ...entry, same }, data: '' }]);
      // Not another name of the same file here: it becomes a file of its own.
      if (typeof linked === 'boolean') return linked;
    }
    const whole = incoming;
    incoming = undefined;
    return await takeIncoming(taker, whole, entry);
  } finally {
    if (incoming) drop(incoming);
  }
}
