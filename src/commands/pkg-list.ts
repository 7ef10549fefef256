import { exitCodes } from '../errors.ts';
import { listPackages, type PackageLine } from '../features/feature-packages.ts';
import { count } from '../printable.ts';
import type { CommandContext, CommandOutcome } from './context.ts';

/** `cmsadm package list`: the feature packages as this server sees them; changes nothing. */
export async function pkgList(context: CommandContext): Promise<CommandOutcome> {
  const packages = await tellPackages(context);
  return {
    exitCode: exitCodes.done,
    summary: `package list: ${count(packages.length, 'package')}`,
    result: { outcome: 'listed', packages },
  };
}

/** Shows how the feature packages stand, numbered as they may be chosen. @throws as listPackages */
export async function tellPackages(
  { host, profile, report }: CommandContext,
  only: (line: PackageLine) => boolean = () => true,
): Promise<PackageLine[]> {
  const packages = (await listPackages(host, profile)).filter(only);
  if (packages.length === 0) report.line('No such feature package is installed.');
  else report.line('Feature packages:');
  for (const [index, one] of packages.entries()) {
    report.line(`  ${index + 1}) ${one.name} ${one.version}, ${one.title}: ${stateOf(one)}`);
    for (const line of one.differs) report.warn(`     ${line}`);
  }
  return packages;
}

function stateOf({ state, runsOn, here }: PackageLine): string {
  if (state === 'none') return 'installed, nothing of it runs';
  if (state === 'off') return 'off';
  const where = runsOn === 'both' ? 'on both servers' : `on the ${runsOn}`;
  return `on, runs ${where}${here === null ? '' : here ? ', so here' : ', so not here'}`;
}
