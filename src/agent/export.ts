import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { CmsadmError } from '../errors.ts';
import { lastLines } from '../host/processes.ts';
import { at } from '../host/root.ts';
import { makeFolders } from '../host/writing.ts';
import type { Agent } from './agent.ts';
import { isSystemError } from './data-set.ts';
import { type DataSet, TEMPORARY } from './entry.ts';

/** The file of an exported data set. */
export const EXPORT = 'export';

/**
 * Exports a data set anew if its time has come; a text that is the same as before is left alone.
 * @param last when it was exported last (milliseconds of performance.now)
 * @returns when it was exported last, now
 * @throws CmsadmError export-failed; the export of before stays
 */
export async function exportSet(agent: Agent, set: DataSet, last: number | undefined): Promise<number> {
  const now = performance.now();
  const { exported } = set;
  if (!exported || (last !== undefined && now - last < exported.every * 1000)) return last ?? now;
  try {
    await exportAnew(agent, set, exported);
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    throw new CmsadmError('export-failed', `The data set ${set.name} could not be exported: ${cause.code}.`, {
      file: set.path,
      cause,
      remedy: 'Check free space and permissions below that folder.',
    });
  }
  return now;
}

async function exportAnew(
  { host, run }: Agent,
  set: DataSet,
  exported: NonNullable<DataSet['exported']>,
): Promise<void> {
  makeFolders(host.root, set.path, 0o700);
  const file = at(host.root, `${set.path}/${EXPORT}`);
  const growing = at(host.root, `${set.path}/${TEMPORARY}export`);
  fs.rmSync(growing, { force: true });
  const { exitCode, stderr } = await run(exported.export, { seconds: exported.seconds, output: growing });
  if (exitCode !== 0) {
    fs.rmSync(growing, { force: true });
    throw new CmsadmError(
      'export-failed',
      `The data set ${set.name} could not be exported: "${exported.export.join(' ')}" failed with ${exitCode}.`,
      { details: lastLines(stderr), remedy: 'Run it by hand on this server, and put right what it says.' },
    );
  }
  if (digestOf(growing) === digestOf(file)) fs.rmSync(growing, { force: true });
  else fs.renameSync(growing, file);
}

const digestOf = (file: string): string | undefined =>
  fs.existsSync(file) ? createHash('sha256').update(fs.readFileSync(file)).digest('hex') : undefined;
