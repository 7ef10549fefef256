import { type ExitCode, exitCodes } from './errors.ts';
import { profileOfServer } from './profile/load.ts';
import { programRoot } from './program-root.ts';
import { hostOf, requireRoot } from './session.ts';
import { eachWanted } from './wanted/states.ts';

/**
 * `cmsadm wanted apply|report`, as the agent calls it every so often: a line for each thing that was done, or differs. The
 * administration log is for what people do.
 */
export async function tellWanted(root: string, what: 'apply' | 'report'): Promise<ExitCode> {
  requireRoot(root);
  // As in main: what is made here is for others too, whatever the agent's own umask.
  process.umask(0o022);
  const told = await eachWanted(what, await hostOf(root, () => {}), profileOfServer(root, programRoot));
  for (const { name, lines } of told) for (const line of lines) process.stdout.write(`${name}: ${line}\n`);
  const failed = told.filter((one) => one.failed !== undefined);
  for (const one of failed) process.stderr.write(`${one.name}: ${one.failed}\n`);
  return failed.length === 0 ? exitCodes.done : exitCodes.refused;
}
