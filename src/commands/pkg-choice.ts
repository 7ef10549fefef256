import { CmsadmError } from '../errors.ts';
import type { PackageLine } from '../features/feature-packages.ts';
import { type CommandContext, type Given, settleAnswers, usage } from './context.ts';
import { packageParameters } from './parameters.ts';

/**
 * One of these packages, by the number that the list shows or by its name.
 * @returns undefined for q
 * @throws CmsadmError no-package where there is none to choose, those of settleAnswers
 */
export async function choosePackage(
  context: CommandContext,
  given: Given,
  packages: readonly PackageLine[],
): Promise<PackageLine | undefined> {
  if (packages.length === 0)
    throw new CmsadmError('no-package', 'There is no such feature package to choose.', {
      remedy: 'pkg_install installs one; `cmsadm package list` shows those that are there.',
    });
  const { name } = await settleAnswers(
    [{ parameter: packageParameters.name, check: (typed) => nameOf(typed.trim(), packages) }],
    given,
    context,
  );
  return packages.find((one) => one.name === name);
}

function nameOf(typed: string, packages: readonly PackageLine[]): string {
  if (typed === 'q') return typed;
  const byNumber = /^[1-9]\d{0,3}$/.test(typed) ? packages[Number(typed) - 1] : undefined;
  const found = byNumber ?? packages.find(({ name }) => name === typed);
  if (found) return found.name;
  throw usage(
    typed === '' ? 'No package was named.' : `${JSON.stringify(typed.slice(0, 60))} is none of the packages.`,
    `Type ${packages.length === 1 ? '1' : `a number from 1 to ${packages.length}`} or a name, or q to leave.`,
  );
}
