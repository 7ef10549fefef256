import { type CatalogueEntry, readCatalogue } from '../backup/catalogue.ts';
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

/** Asks for a backup by its name or path. @throws CmsadmError backup-unknown, path-unusable */
export async function settleBackup(context: CommandContext, given: Given): Promise<Found> {
  const { name: parameter } = backupVerifyParameters;
  const check = (typed: string): string => findBackup(context, typed).path;
  const { [parameter.name]: path = '' } = await settleAnswers([{ parameter, check }], given, context);
  return findBackup(context, path);
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
