import { CmsadmError } from '../errors.ts';
import { lastLines } from '../host/processes.ts';
import { at, isThere } from '../host/root.ts';
import type { Agent } from './agent.ts';
import { EXPORT } from './export.ts';
import type { LiveSet } from './live-set.ts';
import { clearUnapplied, isUnapplied } from './unapplied.ts';

/**
 * Applies what came of a data set, if anything did. What comes meanwhile is left to be applied.
 * @param imports false where the data in this server's database are the ones that are exported
 * @throws CmsadmError apply-failed with what the program said; it is tried again with the next change or full pass
 */
export async function applySet({ host, run, log, notes }: Agent, { set }: LiveSet, imports = true): Promise<void> {
  if (!isUnapplied(host, set)) return;
  const before = notes.get(set.name);
  const { apply, exported } = set;
  const file = `${set.path}/${EXPORT}`;
  const steps = [
    // It is noted before it is in its place: then there may be none.
    ...(exported && imports && isThere(host.root, file)
      ? [{ argv: exported.import, seconds: exported.seconds, input: at(host.root, file) }]
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
  // What came while they ran, they may not have seen.
  if (notes.get(set.name) !== before) return;
  clearUnapplied(host, set);
  log(`${set.name}: the changes are applied`);
}
