import { type CatalogueEntry, readCatalogue, whereabouts } from '../backup/catalogue.ts';
import { sizeText } from '../backup/progress.ts';
import type { ArchivePlace } from '../backup/read-archive.ts';
import { archiveAt } from '../backup/target.ts';
import { CmsadmError } from '../errors.ts';
import { at } from '../host/root.ts';
import { backupVerifyParameters } from './backup-parameters.ts';
import type { CommandContext, Given } from './context.ts';
import { settleAnswers } from './context.ts';

/** A backup that the operator named. */
export type Found = {
  readonly place: ArchivePlace;
  /** Path of the server. */
  readonly path: string;
  readonly isDevice: boolean;
  /** What this server remembers of it. */
  readonly entry: CatalogueEntry | undefined;
};

/**
 * Asks for a backup by its number in the list, which is shown then, by its name or by its path.
 * @returns undefined where the operator left
 * @throws CmsadmError backup-unknown, path-unusable
 */
export async function settleBackup(context: CommandContext, given: Given): Promise<Found | undefined> {
  const { name: parameter } = backupVerifyParameters;
  const isAsked = given[parameter.name] === undefined && context.ask !== undefined;
  const listed = isAsked ? readCatalogue(context.host.root) : [];
  const digits = String(listed.length).length;
  for (const [index, entry] of listed.entries()) {
    const { name, bytes } = entry;
    const number = String(index + 1).padStart(digits);
    context.report.line(`${number}) ${name}  ${sizeText(bytes)}  ${whereabouts(context.host.root, entry)}`);
  }
  const check = (typed: string): string => {
    const text = typed.trim();
    if (isAsked && text === 'q') return text;
    return findBackup(context, (/^[1-9]\d{0,5}$/.test(text) ? listed[Number(text) - 1]?.name : undefined) ?? text).path;
  };
  const { [parameter.name]: path = 'q' } = await settleAnswers([{ parameter, check }], given, context);
  return path === 'q' ? undefined : findBackup(context, path);
}

/** @throws CmsadmError backup-unknown, path-unusable */
export function findBackup({ host }: Pick<CommandContext, 'host'>, typed: string): Found {
  const text = typed.trim();
  const entries = readCatalogue(host.root);
  const named = entries.find(({ name }) => name === text);
  if (!named && !text.startsWith('/'))
    throw new CmsadmError('backup-unknown', `${JSON.stringify(text)} is no backup that this server knows.`, {
      remedy: 'Give its full path, or a name of the list: cmsadm backup list',
    });
  const { path, kind, isTape } = archiveAt(host.root, named?.path ?? text);
  return {
    place: { file: at(host.root, path), isTape },
    path,
    isDevice: kind === 'device',
    entry: named ?? entries.find((entry) => entry.path === path),
  };
}
