import * as fs from 'node:fs';
import { CmsadmError } from '../errors.ts';
import { readLink, readPair } from '../pair/state.ts';
import { fillIn, wordsOf } from '../pair/template.ts';
import type { Agent } from './agent.ts';
import { applySet } from './apply.ts';
import { applyOwed } from './apply-owed.ts';
import { orGone, READ_ONLY } from './data-set.ts';
import { type DataSet, shownPath } from './entry.ts';
import { keepNow, standsKept, TRIES } from './kept.ts';
import type { LiveSet } from './live-set.ts';
import { type Held, holdInside, holdPlace, makeWriter, moveIn, standsAt, type Writer } from './place.ts';
import { foreseen } from './refusals.ts';
import { hasAuthority } from './standing.ts';
import type { Tree } from './tree.ts';
import { isOwed, noteUnapplied } from './unapplied.ts';

/** The longest template. */
const MOST = 1_048_576;

/**
 * Renders what this server has of its own in a data set; what can't be is told with the set, and stays as it is.
 * @returns why it could not be rendered
 */
export function renderOwn(agent: Agent, live: LiveSet): CmsadmError | undefined {
  if (!live.set.rendered) return undefined;
  const failure = failureOf(() => rendered(agent, live));
  tellRendered(agent, live, failure);
  return failure;
}

/** The same before programs that are under way have ended: what is in the way, renderAndApply tells. */
export function renderEarly(agent: Agent, live: LiveSet): void {
  if (live.set.rendered) failureOf(() => rendered(agent, live));
}

/** The same on the server that sends: nobody else asks it to run what reads the results there, nor what it took before. */
export async function renderAndApply(agent: Agent, live: LiveSet): Promise<void> {
  await applyOwed(agent, live);
  if (isOwed(agent.host, live.set)) renderOwn(agent, live);
  if (!live.set.rendered || isOwed(agent.host, live.set)) return;
  const failure =
    failureOf(() => rendered(agent, live)) ??
    (await applySet(agent, live, false).then(
      () => undefined,
      (error: unknown) =>
        failureOf(() => {
          throw error;
        }),
    ));
  tellRendered(agent, live, failure);
}

function rendered(agent: Agent, { set, tree }: LiveSet): void {
  if (!renderSet(tree)) return;
  agent.log(`${set.name}: this server's own files are rendered`);
  // What reads them there is told by the data set's programs.
  noteUnapplied(agent, set, 'rendered');
}

function failureOf(work: () => void): CmsadmError | undefined {
  try {
    work();
    return undefined;
  } catch (error) {
    if (error instanceof CmsadmError) return error;
    throw error;
  }
}

function tellRendered(agent: Agent, { set }: LiveSet, failure: CmsadmError | undefined): void {
  const { unrendered } = agent;
  if (!failure) {
    if (unrendered.delete(set.name)) agent.tellSet(set.name, undefined, 0);
    return;
  }
  const isNew = unrendered.get(set.name)?.message !== failure.message;
  unrendered.set(set.name, failure);
  const why = `${set.name}: ${failure.message}`;
  agent.tellSet(set.name, { state: 'stopped', why }, 0);
  if (isNew) agent.tell({ state: why });
}

/** @returns true if anything was written */
function renderSet(tree: Tree): boolean {
  const { host, set } = tree;
  const link = readLink(host.root);
  const pair = readPair(host.root);
  if (!link || !pair) return false;
  const isPrimary = hasAuthority(host, pair);
  const words = wordsOf(link.self, link.peer, isPrimary);
  const writer = makeWriter(host);
  return foreseen(set.name, set.path, () => {
    let written = false;
    for (const { from, to } of set.rendered ?? []) {
      const template = readTemplate(tree, bytesOf(from));
      // On the secondary it may still be on its way.
      if (!template && !isPrimary) continue;
      if (!template)
        throw new CmsadmError('template-missing', `The template ${from} of the data set ${set.name} is not there.`, {
          file: set.path,
          remedy: `Write it, or take its row out of the profile.`,
        });
      const text = fillIn(template.text, words, shownPath(bytesOf(from)));
      if (renderOne(writer, set, bytesOf(to), Buffer.from(text, 'latin1'), template.stat)) written = true;
    }
    return written;
  });
}

// The profile is UTF-8 text, the names of files are bytes.
const bytesOf = (path: string): string => Buffer.from(path).toString('latin1');

function readTemplate(tree: Tree, path: string): { text: string; stat: fs.Stats } | undefined {
  let held: Held;
  try {
    held = holdPlace(tree, path);
  } catch (error) {
    if (error instanceof CmsadmError && error.code === 'path-refused') return undefined; // its folder is not there yet
    throw error;
  }
  try {
    const file = orGone(() => fs.openSync(held.place, READ_ONLY));
    if (file === undefined) return undefined;
    try {
      const stat = fs.fstatSync(file);
      if (!stat.isFile()) return undefined;
      if (stat.size > MOST)
        throw new CmsadmError('template-refused', `The template ${shownPath(path)} is larger than 1 MB.`, {
          remedy: 'Take what is the same on both servers out of it.',
        });
      return { text: fs.readFileSync(file, 'latin1'), stat };
    } finally {
      fs.closeSync(file);
    }
  } finally {
    fs.closeSync(held.handle);
  }
}

/** Writes a result, durably, with its template's owner and mode; what stood there is kept. */
function renderOne(writer: Writer, set: DataSet, path: string, content: Buffer, { mode, uid, gid }: fs.Stats): boolean {
  const { ownersCount } = writer.host.root;
  const held = holdInside(writer.host, set, path);
  try {
    if (
      isAlready(held, content, (stat) => stat.mode === mode && (!ownersCount || (stat.uid === uid && stat.gid === gid)))
    )
      return false;
    const growing = writer.temporary(held);
    const { O_CREAT, O_EXCL, O_WRONLY, O_NOFOLLOW } = fs.constants;
    const file = fs.openSync(growing, O_CREAT | O_EXCL | O_WRONLY | O_NOFOLLOW, 0o600);
    try {
      fs.writeFileSync(file, content);
      if (ownersCount) fs.fchownSync(file, uid, gid);
      fs.fchmodSync(file, mode & 0o7777);
      fs.fsyncSync(file);
      // The disk takes its time: a look is the last thing before the rename.
      let stood = '';
      for (let again = 0; standsAt(held) !== stood && again < TRIES; again += 1) {
        const kept = keepNow(writer.host, set, path, held.place);
        stood = standsKept(held, kept);
        for (const place of kept?.unsynced ?? []) syncNow(place);
      }
      moveIn(set, path, growing, held);
      fs.fsyncSync(held.handle);
    } catch (error) {
      fs.rmSync(growing, { force: true });
      throw error;
    } finally {
      fs.closeSync(file);
    }
    return true;
  } finally {
    fs.closeSync(held.handle);
  }
}

function syncNow(place: Buffer): void {
  const handle = fs.openSync(place, fs.constants.O_RDONLY | fs.constants.O_NOFOLLOW);
  try {
    fs.fsyncSync(handle);
  } finally {
    fs.closeSync(handle);
  }
}

function isAlready(held: Held, content: Buffer, isAsWanted: (stat: fs.Stats) => boolean): boolean {
  const file = orGone(() => fs.openSync(held.place, READ_ONLY));
  if (file === undefined) return false;
  try {
    const stat = fs.fstatSync(file);
    return stat.isFile() && stat.size === content.length && isAsWanted(stat) && fs.readFileSync(file).equals(content);
  } finally {
    fs.closeSync(file);
  }
}
