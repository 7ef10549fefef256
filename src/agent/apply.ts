import { CmsadmError } from '../errors.ts';
import { lastLines } from '../host/processes.ts';
import { at, isThere } from '../host/root.ts';
import { removeDurably, writeState } from '../host/writing.ts';
import { paths } from '../pair/state.ts';
import type { Agent } from './agent.ts';
import type { DataSet } from './entry.ts';
import { EXPORT } from './export.ts';
import type { LiveSet } from './live-set.ts';

/** Something came that is not applied yet. */
const marker = (set: DataSet): string => `${paths.sync}/${set.name}.unapplied`;

/** True for a data set whose changes are applied: by programs, or by rendering what the other server has to itself. */
export const isApplied = ({ apply, exported, rendered }: DataSet): boolean =>
  apply !== undefined || exported !== undefined || rendered !== undefined;

/** Remembers, over a crash, that a change came; to be called before it is in its place. */
export function noteUnapplied({ host }: Agent, set: DataSet): void {
  if (isApplied(set) && !isThere(host.root, marker(set))) writeState(host.root, marker(set), '');
}

/**
 * Applies what came of a data set, if anything did.
 * @param imports false where the data in this server's database are the ones that are exported
 * @throws CmsadmError apply-failed with what the program said; it is tried again with the next change or full pass
 */
export async function applySet({ host, run, log }: Agent, { set }: LiveSet, imports = true): Promise<void> {
  if (!isThere(host.root, marker(set))) return;
  const { apply, exported } = set;
  const steps = [
    ...(exported && imports
      ? [{ argv: exported.import, seconds: exported.seconds, input: at(host.root, `${set.path}/${EXPORT}`) }]
      : []),
    ...(apply?.check ? [{ argv: apply.check, seconds: apply.seconds }] : []),
    ...(apply ? [{ argv: apply.run, seconds: apply.seconds }] : []),
  ];
  for (const { argv, ...how } of steps) {
    const { exitCode, stderr, stdout } = await run(argv, how);
    if (exitCode === 0) continue;
    throw new CmsadmError(
      'apply-failed',
      `The changes of the data set ${set.name} are on the disk, but "${argv.join(' ')}" failed with ${exitCode}.`,
      { details: lastLines(stderr || stdout), remedy: 'Run it by hand on that server, and put right what it says.' },
    );
  }
  removeDurably(host.root, marker(set));
  log(`${set.name}: the changes are applied`);
}
