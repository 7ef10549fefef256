import { releaseLock, takeLock } from '../change/lock.ts';
import { CmsadmError, exitCodes } from '../errors.ts';
import { wantedPlaces } from '../features/places.ts';
import { standAsWanted } from '../features/stand.ts';
import { readAllWanted, readWanted, type WantedPackage } from '../features/wanted-package.ts';
import { readText } from '../host/root.ts';
import type { Report } from '../report.ts';
import { type AdministrativePlan, administer } from './administer.ts';
import type { Basis } from './basis.ts';
import type { CommandContext, CommandOutcome } from './context.ts';

/**
 * Changes what is wanted of one package, and makes this server stand so. Where that fails, or is interrupted, what is
 * wanted is put back and this server with it; the other one follows the files in either case.
 * @param committed called when the change is decided
 * @throws CmsadmError with exit code putBack, or needsPerson where that fails too
 */
export async function changePackage(
  context: CommandContext,
  name: string,
  plan: Omit<AdministrativePlan, 'afterwards'>,
  committed: () => void = () => undefined,
): Promise<CommandOutcome> {
  const { host, report } = context;
  const before = plan.files.map(({ path }) => ({ path, content: readText(host.root, path) ?? null }));
  const isNew = plan.files.some(({ content }, index) => content !== before[index]?.content);
  let failed: CmsadmError | undefined;
  try {
    return await administer(context, {
      basis: packagesBasis(context),
      ...plan,
      afterwards: async () => {
        committed();
        try {
          return await standHere(context, plan.operation, name);
        } catch (error) {
          if (error instanceof CmsadmError) failed = error;
          throw error;
        }
      },
    });
  } catch (error) {
    if (failed === undefined || !isNew) throw error;
    report.warn(`${failed.message} Putting back what was wanted before.`);
    await putBack(context, name, { ...plan, files: before }, failed);
    throw new CmsadmError(failed.code, `${plan.operation} was put back: ${failed.message}`, {
      exitCode: failed.exitCode === exitCodes.interrupted ? exitCodes.interrupted : exitCodes.putBack,
      details: failed.details,
      ...(failed.remedy === undefined ? {} : { remedy: failed.remedy }),
      ...(failed.file === undefined ? {} : { file: failed.file }),
      cause: failed,
    });
  }
}

/** Holds the lock meanwhile: Ctrl-C then asks to stop instead of ending the program. */
async function standHere(
  { host, profile, operator, stop }: CommandContext,
  operation: string,
  only: string,
): Promise<string[]> {
  holdLock();
  try {
    const lines = await standAsWanted(host, profile, { only });
    if (stop.requested)
      throw new CmsadmError('interrupted', 'Interrupted.', {
        exitCode: exitCodes.interrupted,
        remedy: 'Run it again when you are ready.',
      });
    return lines;
  } finally {
    releaseLock(host);
  }

  function holdLock(): void {
    try {
      takeLock(host, { operation, operator, startedOn: 'this server' });
    } catch (error) {
      // Somebody was quick; what is confirmed already is made so all the same.
      if (!(error instanceof CmsadmError) || error.code !== 'locked') throw error;
    }
  }
}

async function putBack(
  context: CommandContext,
  name: string,
  { files, operation }: Pick<AdministrativePlan, 'files' | 'operation'>,
  first: CmsadmError,
): Promise<void> {
  const { host, profile, report } = context;
  // The screens would only repeat what was reviewed.
  const quiet: Report = { ...report, show: () => undefined };
  try {
    await administer(
      { ...context, report: quiet, yes: true, stop: { requested: false } },
      {
        operation: `put back: ${operation}`,
        files,
        notes: [],
        afterwards: () => standAsWanted(host, profile, { only: name }),
      },
    );
  } catch (second) {
    if (!(second instanceof CmsadmError)) throw second;
    throw new CmsadmError(first.code, `${operation} failed, and could not be put back: ${first.message}`, {
      exitCode: exitCodes.needsPerson,
      details: [...first.details, second.message, ...second.details],
      remedy: 'See `cmsadm package list`; `cmsadm recover` tries again to make this server stand as wanted.',
      cause: first,
    });
  }
}

/** What is wanted of all packages: they may need each other. */
export function packagesBasis({ host, profile }: CommandContext): Basis {
  const read = (): string => {
    const all = readAllWanted(host.root, profile, []);
    return JSON.stringify([all?.packages ?? [], [...(all?.unclear.keys() ?? [])]]);
  };
  return { seen: read(), read };
}

/** What is wanted of a package, for who is about to change it. @throws CmsadmError wanted-unclear */
export function wantedNow({ host, profile }: CommandContext, name: string): WantedPackage {
  const wanted = readWanted(host.root, profile, name);
  if (wanted) return wanted;
  throw new CmsadmError('wanted-unclear', `What is wanted of ${name} can’t be understood.`, {
    file: wantedPlaces(profile, name).wanted,
    remedy: 'Correct the file, or restore the backup beside it.',
  });
}
