import { join } from 'node:path';
import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import { isMissing, list, type Root, readText, sha256 } from '../host/root.ts';
import {
  append,
  hardLink,
  makeFolders,
  removeIfThere,
  rename,
  syncFolder,
  writeNew,
  writeState,
} from '../host/writing.ts';
import { paths } from '../pair/state.ts';
import { isTransactionId, stepOf, steps, type TransactionId, transactionId } from '../pair/tag.ts';
import { type Change, realPath } from './change.ts';
import { type Decision, type Part, parts, type Ruling, ruled } from './transitions.ts';

/**
 * The journal of one transaction on one server: `<journal>/<tag>.<step>.jsonl`, append-only and fsynced.
 * Its first line is the manifest, every further one a state. The decision (confirmed or put back; before it, on a
 * coordinator, asked) is a file of its own, made by link(2): whoever comes first decides, and nobody can decide twice.
 */
const states = [
  'staged',
  'committing',
  'committed',
  'asked',
  'confirmed',
  'files-back',
  'put-back',
  'told',
  'pruned',
] as const;
export type State = (typeof states)[number];

const fileEntry = v.object({
  path: v.string(),
  /** The same without links, where it differs. */
  real: v.optional(v.string()),
  kind: v.string(),
  before: v.nullable(v.string()),
  after: v.nullable(v.string()),
  secret: v.boolean(),
});
const manifestSchema = v.object({
  operation: v.string(),
  operator: v.string(),
  server: v.string(),
  tag: v.string(),
  step: v.picklist(steps),
  /** Which part this server plays: the coordinator's own, the peer's, or alone. */
  part: v.picklist(parts),
  at: v.string(),
  /** The process that carries it out; a way back ends it before it touches what that one may be writing. */
  worker: v.optional(v.object({ pid: v.number(), processStart: v.string(), bootId: v.string() })),
  files: v.array(fileEntry),
  madeFolders: v.array(v.string()),
  program: v.optional(v.object({ from: v.string(), to: v.string(), digest: v.string() })),
  services: v.object({
    reload: v.array(v.string()),
    restart: v.array(v.string()),
    enable: v.array(v.string()),
    start: v.array(v.string()),
    stop: v.array(v.string()),
    affecting: v.array(v.string()),
    seconds: v.number(),
  }),
  afterwards: v.object({
    removeFiles: v.array(v.string()),
    disableUnits: v.array(v.string()),
    removeProgram: v.boolean(),
  }),
});
export type Manifest = v.InferOutput<typeof manifestSchema>;

/** Where the file of a manifest really is. */
export const realEntry = ({ path, real }: Manifest['files'][number]): string => real ?? path;

const journalOf = (id: TransactionId): string => join(paths.journal, `${id}.jsonl`);
const decisionOf = (id: TransactionId): string => join(paths.journal, `${id}.decision`);

/** What is written down of a change: hashes instead of contents. */
export const manifestOf = (
  change: Change,
  part: Part,
  now: number,
  madeFolders: readonly string[],
  generated: (path: string) => string,
  worker: NonNullable<Manifest['worker']>,
): Manifest => ({
  operation: change.operation,
  operator: change.operator,
  server: change.server,
  tag: change.tag,
  step: change.step,
  part,
  at: new Date(now).toISOString(),
  worker,
  files: change.files.map((file) => ({
    path: file.path,
    ...(realPath(file) === file.path ? {} : { real: realPath(file) }),
    kind: file.kind,
    before: file.before,
    after: file.after === null ? null : sha256(file.generated ? generated(file.path) : file.after.content),
    secret: file.secret,
  })),
  madeFolders: [...madeFolders],
  ...(change.program === undefined ? {} : { program: change.program }),
  services: {
    reload: [...change.services.reload],
    restart: [...change.services.restart],
    enable: [...change.services.enable],
    start: [...change.services.start],
    stop: [...change.services.stop],
    affecting: [...change.services.affecting],
    seconds: change.services.seconds,
  },
  afterwards: {
    removeFiles: [...change.afterwards.removeFiles],
    disableUnits: [...change.afterwards.disableUnits],
    removeProgram: change.afterwards.removeProgram,
  },
});

/** Begins the journal of a transaction; durable when it returns. @throws CmsadmError tag-taken */
export function beginJournal(root: Root, manifest: Manifest): TransactionId {
  const id = transactionId(manifest.tag, manifest.step);
  makeFolders(root, paths.journal, 0o700);
  if (readText(root, journalOf(id)) !== undefined)
    throw new CmsadmError('tag-taken', `The tag ${manifest.tag} was used before.`, {
      remedy: 'Start again; every run has its own tag.',
    });
  // By a rename: a power cut leaves a whole manifest or none, never a torn one that nobody can settle.
  writeState(root, journalOf(id), `${JSON.stringify(manifest)}\n`);
  return id;
}

/** What a state may tell besides its time. */
type StateFacts = {
  /** `committing`: the units that ran, and that were enabled, before the change was made. */
  readonly running?: readonly string[];
  readonly enabled?: readonly string[];
  /** `files-back`: where edits are kept, and which edited files were left. */
  readonly edited?: readonly string[];
  readonly left?: readonly string[];
  /** `put-back`: the units that a person must restart. */
  readonly leftToDo?: readonly string[];
  /** `put-back`: nobody was there, so an alarm tells it; `told` stands where it did. */
  readonly byItself?: boolean;
};
const stateFactsSchema = v.object({
  running: v.optional(v.array(v.string()), []),
  enabled: v.optional(v.array(v.string()), []),
  edited: v.optional(v.array(v.string()), []),
  left: v.optional(v.array(v.string()), []),
  leftToDo: v.optional(v.array(v.string()), []),
  byItself: v.optional(v.boolean(), false),
});

/** Appends a state; durable when it returns. */
export function note(root: Root, id: TransactionId, state: State, now: number, more: StateFacts = {}): void {
  append(root, journalOf(id), `${JSON.stringify({ state, at: new Date(now).toISOString(), ...more })}\n`);
}

/** @throws CmsadmError transaction-unknown, journal-damaged */
export function readJournal(
  root: Root,
  id: TransactionId,
): {
  manifest: Manifest;
  states: State[];
  running: string[];
  enabled: string[];
  edited: string[];
  left: string[];
  leftToDo: string[];
  isUntold: boolean;
  ruling: Ruling | undefined;
  decision: Decision | undefined;
} {
  const text = readText(root, journalOf(id));
  if (text === undefined)
    throw new CmsadmError('transaction-unknown', `There is no journal of ${id}.`, {
      remedy: '`cmsadm config_HA restore` lists the tags.',
    });
  const [first = '', ...rest] = text.split('\n');
  const reached = statesIn(rest);
  try {
    return {
      manifest: v.parse(manifestSchema, JSON.parse(first)),
      states: reached,
      running: factsOf(rest, 'committing').running,
      enabled: factsOf(rest, 'committing').enabled,
      edited: factsOf(rest, 'files-back').edited,
      left: factsOf(rest, 'files-back').left,
      leftToDo: factsOf(rest, 'put-back').leftToDo,
      isUntold: factsOf(rest, 'put-back').byItself && !reached.includes('told'),
      // Version 0.1.0 had `asked` as a state only.
      ruling: readRuling(root, id) ?? (reached.includes('asked') ? 'asked' : undefined),
      decision: readDecision(root, id),
    };
  } catch (cause) {
    throw cause instanceof CmsadmError ? cause : damaged(id, journalOf(id), cause);
  }
}

/** The same; undefined where it is damaged, for those who only look. @throws CmsadmError transaction-unknown */
export function readableJournal(root: Root, id: TransactionId): ReturnType<typeof readJournal> | undefined {
  try {
    return readJournal(root, id);
  } catch (error) {
    if (error instanceof CmsadmError && error.code === 'journal-damaged') return undefined;
    throw error;
  }
}

// A torn last line is a state that was never reached.
const statesIn = (lines: readonly string[]): State[] =>
  lines.flatMap((line) => states.filter((state) => line.startsWith(`{"state":"${state}"`) && line.endsWith('}')));

const damaged = (id: TransactionId, file: string, cause?: unknown): CmsadmError =>
  new CmsadmError('journal-damaged', `The journal of ${id} is damaged.`, {
    file,
    cause,
    remedy: `Compare both servers by hand, then move ${file} away.`,
  });

function factsOf(lines: readonly string[], state: State): v.InferOutput<typeof stateFactsSchema> {
  const line = lines.find((one) => one.startsWith(`{"state":"${state}"`) && one.endsWith('}'));
  return v.parse(stateFactsSchema, line === undefined ? {} : JSON.parse(line));
}

/** What stands in the decision file. @throws CmsadmError journal-damaged */
export function readRuling(root: Root, id: TransactionId): Ruling | undefined {
  const text = readText(root, decisionOf(id))?.trim();
  if (text === undefined || text === 'confirmed' || text === 'put-back' || text === 'asked') return text;
  throw damaged(id, decisionOf(id));
}

/** The end of a transaction, if it came. @throws CmsadmError journal-damaged */
export function readDecision(root: Root, id: TransactionId): Decision | undefined {
  const ruling = readRuling(root, id);
  return ruling === 'asked' ? undefined : ruling;
}

/** What is told to the other server: no word that a power cut could take back. */
export function durableDecision(root: Root, id: TransactionId): Decision | undefined {
  const decision = readDecision(root, id);
  if (decision !== undefined) syncFolder(root, paths.journal);
  return decision;
}

/**
 * Decides (or, as a coordinator, leaves it to the peer), or learns what was decided before; durable when it returns.
 * @param overAsked false for who does not know what the peer said: `asked`, also one of this moment, holds then
 */
export function decide(root: Root, id: TransactionId, wanted: Ruling, overAsked = true): Ruling {
  const prepared = `${decisionOf(id)}.${process.pid}`;
  for (;;) {
    const now = readRuling(root, id);
    const next = now === 'asked' && !overAsked ? now : ruled(now, wanted);
    if (next === now) {
      syncFolder(root, paths.journal); // another process may have written it a moment ago
      return now;
    }
    removeIfThere(root, prepared);
    writeNew(root, prepared, `${next}\n`, { mode: 0o600, owner: 'root', group: 'root' });
    if (now !== undefined) rename(root, prepared, decisionOf(id));
    else if (!linked(root, prepared, decisionOf(id))) continue;
    syncFolder(root, paths.journal);
    removeIfThere(root, prepared);
    return next;
  }
}

const linked = (root: Root, from: string, to: string): boolean => {
  try {
    hardLink(root, from, to);
    return true;
  } catch (error) {
    removeIfThere(root, from);
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
};

/** All transactions of this server, oldest first. */
export const transactions = (root: Root): TransactionId[] =>
  list(root, paths.journal)
    .filter((name) => name.endsWith('.jsonl'))
    .map((name) => name.slice(0, -'.jsonl'.length))
    .filter(isTransactionId)
    .sort((a, b) => startedAt(a) - startedAt(b));

const startedAt = (id: TransactionId): number => Number(/_(\d+)\./.exec(id)?.[1] ?? 0);

/** Transactions that are neither confirmed nor put back. */
export const unfinished = (root: Root): TransactionId[] => transactions(root).filter((id) => !isFinished(root, id));

/** Transactions that were put back with nobody there, and that no alarm has told yet. */
export const untold = (root: Root): TransactionId[] =>
  transactions(root).filter((id) => readableJournal(root, id)?.isUntold === true);

/** Those that may still change the roles; another version of the program leaves them alone. */
export const unfinishedRoles = (root: Root): TransactionId[] =>
  unfinished(root).filter((id) => stepOf(id) !== 'program');

// Without its manifest: what is finished is finished, although its journal be damaged.
function isFinished(root: Root, id: TransactionId): boolean {
  const [, ...rest] = (readText(root, journalOf(id)) ?? '').split('\n');
  try {
    const decision = readDecision(root, id);
    return decision !== undefined && statesIn(rest).includes(decision);
  } catch {
    return false; // a damaged decision: recover names it
  }
}

/** Not decided, or decided and not carried out to its end. */
export const isOpen = (journal: {
  readonly states: readonly State[];
  readonly decision: Decision | undefined;
}): boolean => journal.decision === undefined || !journal.states.includes(journal.decision);

/** Forgets a transaction that never changed anything. */
export function forget(root: Root, id: TransactionId): void {
  for (const path of [decisionOf(id), journalOf(id)]) {
    try {
      removeIfThere(root, path);
    } catch (error) {
      if (!isMissing(error)) throw error;
    }
  }
}
