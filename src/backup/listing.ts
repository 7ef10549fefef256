import * as fs from 'node:fs';
import { join, relative } from 'node:path';
import { CmsadmError } from '../errors.ts';
import { literally } from './archiver.ts';
import { startChild } from './child.ts';
import { largestInCpio } from './cpio-format.ts';
import { mountsNow, savedBelow } from './mounts.ts';

/** What is saved, as paths of the server. */
export type Selection = {
  readonly include: readonly string[];
  /** Folders that are saved without what is in them. */
  readonly exclude: readonly string[];
  /** Folder and beginning of names that are never saved: the backups themselves. */
  readonly never: readonly string[];
};

/** What the listing counted. */
export type Listed = {
  readonly files: number;
  /** What the archive will take about, uncompressed. */
  readonly bytes: number;
  /** Files that are too large for cpio, the first few. */
  readonly tooLarge: readonly string[];
};

/** Headers of one member: ustar's, and pax's for times finer than a second. */
const headerBytes = 1536;

const named = (path: string): string => (path === '/' ? '.' : `.${path}`);

/** The argv of find(1) for one file system. @param within false for the first, whose top folder is listed too */
function findArgv(start: string, within: boolean, { exclude, never }: Selection, since: number | undefined): string[] {
  const leftOut = exclude.flatMap((path, i) => [...(i === 0 ? [] : ['-o']), '-path', literally(named(path))]);
  return [
    ...['find', named(start), '-xdev', ...(within ? ['-mindepth', '1'] : [])],
    ...(leftOut.length === 0 ? [] : ['(', '(', ...leftOut, ')', '-prune', '-o', '-true', ')']),
    ...never.flatMap((path) => ['!', '-path', `${literally(named(path))}*`]),
    ...(since === undefined ? [] : ['(', '-newermt', `@${since}`, '-o', '-newerct', `@${since}`, ')']),
    ...['!', '-type', 's', '-printf', '%y %s %b %n %D:%i %T@:%m:%U:%G %p\\0'],
  ];
}

/**
 * Lists what is saved: every file system below the included folders that holds files of this server, each once.
 * @param prefix the folder on this machine that stands for `/`
 * @param names gets the names, each ended by a zero byte, as the archiver wants them
 * @param times gets `<seconds>:<mode>:<uid>:<gid> <name>` in the same way, where wanted
 * @param since seconds since 1970: counts only what changed after it
 * @throws CmsadmError nothing-to-save, listing-failed
 */
export async function listFiles(
  prefix: string,
  selection: Selection,
  { names, times, since }: { readonly names?: string; readonly times?: string; readonly since?: number },
): Promise<Listed> {
  const outputs = [names, times].map((file) => (file === undefined ? undefined : fs.openSync(file, 'wx', 0o600)));
  const count = counter(outputs[0], outputs[1]);
  try {
    for (const start of startsOf(prefix, selection))
      await find(prefix, findArgv(start.path, start.within, selection, since), count.take);
    return count.total();
  } finally {
    for (const output of outputs) if (output !== undefined) fs.closeSync(output);
  }
}

function startsOf(prefix: string, { include, exclude }: Selection): { path: string; within: boolean }[] {
  const mounts = mountsNow();
  const real = fs.realpathSync(prefix);
  const there = include.filter((path) => fs.existsSync(join(prefix, path)));
  if (there.length === 0)
    throw new CmsadmError('nothing-to-save', `None of ${include.join(', ')} is there.`, {
      remedy: 'Correct the profile (backup, include; for a maintenance backup: backup, maintenance, include).',
    });
  return there.flatMap((path) => {
    const below = savedBelow(join(real, path), mounts).map((point) => `/${relative(real, point)}`);
    const isLeftOut = (point: string): boolean => exclude.some((one) => point === one || point.startsWith(`${one}/`));
    return [
      { path, within: false },
      ...below.filter((point) => !isLeftOut(point)).map((point) => ({ path: point, within: true })),
    ];
  });
}

async function find(prefix: string, argv: readonly string[], take: (line: string) => void): Promise<void> {
  const child = startChild(argv, prefix, ['ignore', 'pipe']);
  let rest = '';
  if (child.output)
    for await (const piece of child.output.setEncoding('latin1')) {
      const lines = `${rest}${piece}`.split('\0');
      rest = lines.pop() ?? '';
      for (const line of lines) take(line);
    }
  const exitCode = await child.ended();
  const wrong = child
    .said()
    .split('\n')
    .filter((line) => line !== '' && !line.endsWith('No such file or directory'));
  if (exitCode === 127 || wrong.length > 0)
    throw new CmsadmError('listing-failed', 'Not everything that is to be saved can be listed.', {
      details: wrong.slice(0, 10),
      remedy: 'Put right what it names, or leave it out by the profile (backup, exclude).',
    });
}

function counter(names: number | undefined, times: number | undefined) {
  const seen = new Set<string>();
  const tooLarge: string[] = [];
  let files = 0;
  let bytes = 0;
  let nameText = '';
  let timeText = '';
  const flush = (): void => {
    if (names !== undefined) fs.writeSync(names, Buffer.from(nameText, 'latin1'));
    if (times !== undefined) fs.writeSync(times, Buffer.from(timeText, 'latin1'));
    nameText = '';
    timeText = '';
  };
  return {
    take: (line: string): void => {
      const [type = '', size = '0', blocks = '0', links = '1', inode = '', time = '0'] = line.split(' ', 6);
      const name = line.slice(
        type.length + size.length + blocks.length + links.length + inode.length + time.length + 6,
      );
      files += 1;
      bytes += headerBytes;
      if (type === 'f' && !(Number(links) > 1 && seen.has(inode))) {
        bytes += Math.ceil(Math.min(Number(size), Number(blocks) * 512) / 512) * 512;
        if (Number(links) > 1) seen.add(inode);
        if (Number(size) > largestInCpio && tooLarge.length < 5) tooLarge.push(name.slice(1));
      }
      nameText += `${name}\0`;
      if (times !== undefined) timeText += `${time} ${name}\0`;
      if (nameText.length > 262_144) flush();
    },
    total: (): Listed => {
      flush();
      return { files, bytes, tooLarge };
    },
  };
}
