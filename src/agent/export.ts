import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { CmsadmError } from '../errors.ts';
import { lastLines } from '../host/processes.ts';
import { at, type Root } from '../host/root.ts';
import { makeFolders, rename, settleFile, syncFolder } from '../host/writing.ts';
import type { Agent } from './agent.ts';
import { isSystemError } from './data-set.ts';
import { type DataSet, TEMPORARY } from './entry.ts';
import { isOwed } from './unapplied.ts';

/** The file of an exported data set. */
export const EXPORT = 'export';

const exportOf = ({ path }: DataSet): string => `${path}/${EXPORT}`;
const growingOf = ({ path }: DataSet): string => `${path}/${TEMPORARY}export`;

/** Whole after a power cut too: the other server would import half an export. */
function replaceExport(root: Root, set: DataSet): void {
  settleFile(root, growingOf(set), 0o600);
  rename(root, growingOf(set), exportOf(set));
  syncFolder(root, set.path);
}

/**
 * Exports a data set anew if its time has come; a text that is the same as before is left alone. So is one that the other
 * server sent and that is not imported here yet: this server's database knows nothing of it.
 * @param last when it was exported last (milliseconds of performance.now)
 * @returns when it was exported last, now
 * @throws CmsadmError export-failed; the export of before stays
 */
export async function exportSet(agent: Agent, set: DataSet, last: number | undefined): Promise<number> {
  const now = performance.now();
  const { exported } = set;
  if (!exported || (last !== undefined && now - last < exported.every * 1000)) return last ?? now;
  if (isOwed(agent.host, set)) return now;
  await exportAnew(agent, set, (growing, file) => {
    if (digestOf(growing) !== digestOf(file)) replaceExport(agent.host.root, set);
  });
  return now;
}

/**
 * Exports a data set to a file beside the export.
 * @param use is given both; what is left of the new one goes after it
 * @throws CmsadmError export-failed
 */
export async function exportAnew(
  agent: Agent,
  set: DataSet,
  use: (growing: string, file: string) => void | Promise<void>,
): Promise<void> {
  const { root } = agent.host;
  const file = at(root, exportOf(set));
  const growing = at(root, growingOf(set));
  try {
    makeFolders(root, set.path, 0o700);
    await exportTo(agent, set, growing);
    await use(growing, file);
    fs.rmSync(growing, { force: true });
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    throw new CmsadmError('export-failed', `The data set ${set.name} could not be exported: ${cause.code}.`, {
      file: set.path,
      cause,
      remedy: 'Check free space and permissions below that folder.',
    });
  }
}

async function exportTo({ run }: Agent, { name, exported }: DataSet, growing: string): Promise<void> {
  if (!exported) return;
  fs.rmSync(growing, { force: true });
  const { exitCode, stderr } = await run(exported.export, { seconds: exported.seconds, output: growing });
  if (exitCode !== 0) {
    fs.rmSync(growing, { force: true });
    throw new CmsadmError(
      'export-failed',
      `The data set ${name} could not be exported: "${exported.export.join(' ')}" failed with ${exitCode}.`,
      { details: lastLines(stderr), remedy: 'Run it by hand on this server, and put right what it says.' },
    );
  }
}

export const digestOf = (file: string): string | undefined =>
  fs.existsSync(file) ? createHash('sha256').update(fs.readFileSync(file)).digest('hex') : undefined;
