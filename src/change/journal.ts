import { join } from 'node:path';
import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import {
  append,
  hardLink,
  isMissing,
  list,
  makeFolders,
  type Root,
  readText,
  removeIfThere,
  sha256,
  syncFolder,
  writeNew,
  writeState,
} from '../host/root.ts';
import { paths } from '../pair/state.ts';
import { isTransactionId, stepOf, steps, type TransactionId, transactionId } from '../pair/tag.ts';
import { type Change, realPath } from './change.ts';

/**
 * The journal of one transaction on one server: `<journal>/<tag>.<step>.jsonl`, append-only and fsynced.
 * Its first line is the manifest, every further one a state. The decision (confirmed or put back) is a file of its
 * own, made by link(2): whoever comes first decides, and nobody can decide twice.
 */
const states = ['staged', 'committing', 'committed', 'asked', 'confirmed', 'put-back'] as const;
export type State = (typeof states)[number];
export type Decision = 'confirmed' | 'put-back';

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
  part: v.picklist(['coordinator', 'peer', 'alone']),
  at: v.string(),
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

export type Part = Manifest['part'];

/** What is written down of a change: hashes instead of contents. */
export const manifestOf = (
  change: Change,
  part: Part,
  now: number,
  madeFolders: readonly string[],
  generated: (path: string) => string,
): Manifest => ({
  operation: change.operation,
  operator: change.operator,
  server: change.server,
  tag: change.tag,
  step: change.step,
  part,
  at: new Date(now).toISOString(),
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

/** What a state may tell besides its time: the units that ran, and that were enabled, before the change was made. */
type StateFacts = { readonly running?: readonly string[]; readonly enabled?: readonly string[] };
const stateFactsSchema = v.object({
  running: v.optional(v.array(v.string()), []),
  enabled: v.optional(v.array(v.string()), []),
});

/** Appends a state; durable when it returns. */
export function note(root: Root, id: TransactionId, state: State, now: number, more: StateFacts = {}): void {
  // A crash may have torn the last line; the new one must not hang on it.
  const torn = !readText(root, journalOf(id))?.endsWith('\n');
  append(
    root,
    journalOf(id),
    `${torn ? '\n' : ''}${JSON.stringify({ state, at: new Date(now).toISOString(), ...more })}\n`,
  );
}

/** @throws CmsadmError transaction-unknown, journal-damaged */
export function readJournal(
  root: Root,
  id: TransactionId,
): { manifest: Manifest; states: State[]; running: string[]; enabled: string[]; decision: Decision | undefined } {
  const text = readText(root, journalOf(id));
  if (text === undefined)
    throw new CmsadmError('transaction-unknown', `There is no journal of ${id}.`, {
      remedy: '`cmsadm config_HA restore` lists the tags.',
    });
  const [first = '', ...rest] = text.split('\n');
  try {
    return {
      manifest: v.parse(manifestSchema, JSON.parse(first)),
      // A torn last line is a state that was never reached.
      states: rest.flatMap((line) =>
        states.filter((state) => line.startsWith(`{"state":"${state}"`) && line.endsWith('}')),
      ),
      ...unitsBefore(rest),
      decision: readDecision(root, id),
    };
  } catch (cause) {
    throw new CmsadmError('journal-damaged', `The journal of ${id} is damaged.`, {
      file: journalOf(id),
      cause,
      remedy: `Compare both servers by hand, then move ${journalOf(id)} away.`,
    });
  }
}

function unitsBefore(lines: readonly string[]): { running: string[]; enabled: string[] } {
  const line = lines.find((one) => one.startsWith('{"state":"committing"') && one.endsWith('}'));
  return line === undefined ? { running: [], enabled: [] } : v.parse(stateFactsSchema, JSON.parse(line));
}

export function readDecision(root: Root, id: TransactionId): Decision | undefined {
  const text = readText(root, decisionOf(id))?.trim();
  return text === 'confirmed' || text === 'put-back' ? text : undefined;
}

/** Decides, or learns what was decided before; durable when it returns. */
export function decide(root: Root, id: TransactionId, decision: Decision): Decision {
  const prepared = `${decisionOf(id)}.${process.pid}`;
  removeIfThere(root, prepared);
  writeNew(root, prepared, `${decision}\n`, { mode: 0o600, owner: 'root', group: 'root' });
  try {
    hardLink(root, prepared, decisionOf(id));
    syncFolder(root, paths.journal);
    return decision;
  } catch (error) {
    const earlier = readDecision(root, id);
    if (earlier === undefined) throw error;
    return earlier;
  } finally {
    removeIfThere(root, prepared);
  }
}

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

/** Those that may still change the roles; another version of the program leaves them alone. */
export const unfinishedRoles = (root: Root): TransactionId[] =>
  unfinished(root).filter((id) => stepOf(id) !== 'program');

function isFinished(root: Root, id: TransactionId): boolean {
  const { states: reached, decision } = readJournal(root, id);
  return decision !== undefined && reached.includes(decision);
}

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
