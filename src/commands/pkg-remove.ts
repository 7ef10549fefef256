import { CmsadmError } from '../errors.ts';
import { placesOf, wantedPlaces } from '../features/places.ts';
import { readRecord, recordedNames } from '../features/record.ts';
import { isThere } from '../host/root.ts';
import { type CommandContext, type CommandOutcome, declined, type Given } from './context.ts';
import { changePackage } from './pkg-change.ts';
import { choosePackage } from './pkg-choice.ts';
import { tellPackages } from './pkg-list.ts';

/**
 * Option 5: removes a feature package, in a pair from both servers.
 * @throws CmsadmError no-package, package-needed
 */
export async function pkgRemove(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const { host, profile } = context;
  const chosen = await choosePackage(context, given, await tellPackages(context));
  if (!chosen) return declined(context, 'remove a feature package');
  const { name, version, title } = chosen;
  const needing = recordedNames(host.root).filter((other) =>
    readRecord(host.root, other)?.installed?.manifest.needs.packages.some((one) => one.name === name),
  );
  if (needing.length > 0)
    throw new CmsadmError('package-needed', `${title} is needed by ${needing.join(', ')}.`, {
      remedy: `Remove first: ${needing.join(', ')}.`,
    });
  const { wanted, zip, licence } = wantedPlaces(profile, name);
  const { data, home } = placesOf(name);
  return changePackage(context, name, {
    operation: `remove ${name} ${version}`,
    // In this order: without the first, nobody asks for the others.
    files: [wanted, zip, licence].filter((path) => isThere(host.root, path)).map((path) => ({ path, content: null })),
    notes: [
      `${title} ${version} goes from each server: ${home}, and its units.`,
      `A file that somebody edited stays beside as .edited; what it wrote stays in ${data}.`,
    ],
    result: { package: { name, title, version } },
  });
}
