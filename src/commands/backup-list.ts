import * as fs from 'node:fs';
import { join } from 'node:path';
import { type CatalogueEntry, readCatalogue, whereabouts } from '../backup/catalogue.ts';
import { isBackupName } from '../backup/facts.ts';
import { sizeText } from '../backup/progress.ts';
import { readFactsOf } from '../backup/read-archive.ts';
import { folderTarget } from '../backup/target.ts';
import { exitCodes } from '../errors.ts';
import { at } from '../host/root.ts';
import { backupListParameters } from './backup-parameters.ts';
import type { CommandContext, CommandOutcome, Given } from './context.ts';

/** One line of the list: `where` is whether it is there. */
type Line = Pick<CatalogueEntry, 'name' | 'kind' | 'format' | 'compression' | 'made' | 'path'> & {
  readonly bytes: number;
  readonly where: string;
  readonly verified: string | null;
  readonly of?: string;
};

/** `cmsadm backup list`: the backups that this server knows of, and those that lie in a folder. */
export async function backupList(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const { host, report } = context;
  const known = readCatalogue(host.root).map((entry) => lineOf(entry, whereabouts(host.root, entry)));
  const folder = given[backupListParameters.folder.name];
  const found = folder === undefined ? [] : await linesIn(context, folder, known);
  const backups = [...known, ...found].sort((a, b) => (a.made < b.made ? 1 : -1));
  for (const one of backups) {
    report.line(`${one.name}  ${sizeText(one.bytes)}  ${one.where}`);
    report.line(
      `  ${one.kind}, ${one.format}${one.compression === 'none' ? '' : `, ${one.compression}`}, ${one.path}, ${
        one.verified === null ? 'never read back here' : `read back ${one.verified}`
      }${one.of === undefined ? '' : `, stands on ${one.of}`}`,
    );
  }
  return { exitCode: exitCodes.done, summary: 'backup: listed', result: { outcome: 'listed', backups } };
}

const lineOf = (entry: CatalogueEntry, where: string): Line => {
  const { name, kind, format, compression, made, path, bytes, verified, of } = entry;
  return { name, kind, format, compression, made, path, bytes, verified, where, ...(of === undefined ? {} : { of }) };
};

async function linesIn({ host }: CommandContext, folder: string, known: readonly Line[]): Promise<Line[]> {
  const { path } = folderTarget(host.root, folder, []);
  const names = fs.readdirSync(at(host.root, path)).filter(isBackupName);
  const lines: Line[] = [];
  for (const name of names.filter((one) => !known.some((line) => line.path === join(path, one)))) {
    const file = at(host.root, join(path, name));
    const facts = await readFactsOf({ file, isTape: false });
    if (!facts) continue;
    const { kind, format, compression, made, of } = facts;
    const { size } = fs.statSync(file);
    lines.push({
      ...{ name, kind, format, compression, made, path: join(path, name), bytes: size, where: 'there', verified: null },
      ...(of === undefined ? {} : { of }),
    });
  }
  return lines;
}
