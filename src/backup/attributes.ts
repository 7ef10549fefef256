// What cpio can't hold goes into two members of our own, which the restore applies: extended attributes with the access
// lists and labels among them, as getfattr(1) dumps them, and times finer than a second.
import * as fs from 'node:fs';
import { join } from 'node:path';
import { CmsadmError } from '../errors.ts';
import { startChild } from './child.ts';

const dumpFlags = ['--dump', '--match=-', '--no-dereference', '--encoding=base64', '--absolute-names'];

/**
 * Dumps the attributes of the files below `folder` whose names stand in `names`, each ended by a zero byte.
 * @throws CmsadmError attributes-failed
 */
export async function dumpAttributes(folder: string, names: string, to: string): Promise<void> {
  const output = fs.openSync(to, 'wx', 0o600);
  try {
    const argv = ['xargs', '--null', '--no-run-if-empty', `--arg-file=${names}`, 'getfattr', ...dumpFlags, '--'];
    await attend('read', argv, folder, output);
  } finally {
    fs.closeSync(output);
  }
}

/**
 * Gives the files below `folder` their attributes again. Owners must be set before: chown(2) takes capabilities away.
 * @throws CmsadmError attributes-failed
 */
export async function applyAttributes(folder: string, dump: string): Promise<void> {
  if (fs.statSync(dump).size === 0) return;
  await attend('set', ['setfattr', '--no-dereference', `--restore=${dump}`], folder, 'ignore');
}

async function attend(verb: string, argv: readonly string[], folder: string, to: number | 'ignore'): Promise<void> {
  const child = startChild(argv, folder, ['ignore', to]);
  const exitCode = await child.ended();
  const wrong = child
    .said()
    .split('\n')
    .filter((line) => line !== '' && !/No such file or directory$/.test(line));
  // xargs tells 123 where a file went meanwhile.
  if (wrong.length === 0 && (exitCode === 0 || exitCode === 123 || exitCode === 1)) return;
  throw new CmsadmError('attributes-failed', `Extended attributes could not be ${verb === 'set' ? 'set' : 'read'}.`, {
    details: wrong.slice(0, 10),
    remedy: 'Does this file system know them? The tar format keeps them without these programs.',
  });
}

/** Names are written with bytes that are no plain text in octal. */
const plain = (name: string): string =>
  name.replaceAll(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));

/** The part of a dump that concerns some names; latin1 text. */
export const attributesOf = (dump: string, isWanted: (name: string) => boolean): string =>
  dump
    .split('\n\n')
    .filter((part) => isWanted(plain(/^# file: (.*)$/m.exec(part)?.[1] ?? '')))
    .map((part) => `${part.trimEnd()}\n\n`)
    .join('');

/**
 * Gives files their times again, the innermost first: `<seconds>:<mode>:<uid>:<gid> <name>`, each ended by a zero byte;
 * latin1 text. The folder itself, which was there before cpio came, gets mode and owner too.
 */
export function applyTimes(folder: string, times: string, isWanted: (name: string) => boolean): void {
  for (const line of times.split('\0').slice(0, -1).reverse()) {
    const blank = line.indexOf(' ');
    const name = line.slice(blank + 1);
    const path = Buffer.concat([Buffer.from(join(folder, '/')), Buffer.from(name, 'latin1')]);
    if (!isWanted(name) || !fs.lstatSync(path, { throwIfNoEntry: false })) continue;
    const [seconds = '0', mode = '755', uid = '0', gid = '0'] = line.slice(0, blank).split(':');
    if (name === '.') {
      if (process.getuid?.() === 0) fs.chownSync(path, Number(uid), Number(gid));
      fs.chmodSync(path, Number.parseInt(mode, 8));
    }
    // As text: of a number before 1970 node makes the present.
    fs.lutimesSync(path, seconds, seconds);
  }
}
