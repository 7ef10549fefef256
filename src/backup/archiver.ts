import { tarKeeps } from '../host/tar-keeps.ts';
import { asCpioHasIt } from './cpio-format.ts';
import { type Compression, type FormatName, ownMembers } from './formats.ts';

/** Times of access and of the last change of the inode can't be put back: they would only make each header longer. */
const paxTimes = '--pax-option=delete=atime,delete=ctime';

/**
 * The archiver that writes the files whose names come on its input, each ended by a zero byte, to its output; it runs in
 * the folder that the names start from.
 */
export const makeArgv: Readonly<Record<FormatName, readonly string[]>> = {
  tar: [
    ...['tar', '--create', '--file=-', '--format=pax', paxTimes, ...tarKeeps],
    // A file that went since its name was listed is told, and no failure.
    ...['--ignore-failed-read', '--no-recursion', '--null', '--files-from=-'],
  ],
  // Inode numbers of 64 bits do not fit: cut off they could make one file of two.
  cpio: ['cpio', '--create', '--null', '--format=newc', '--renumber-inodes', '-C', '10240', '--quiet'],
};

/**
 * The archiver of maintenance backups: it walks the folders itself and keeps in `snapshot` what it saw.
 * @param names relative to the folder that it runs in
 */
export const makeListedArgv = (
  names: readonly string[],
  exclude: readonly string[],
  snapshot: string,
): readonly string[] => [
  ...['tar', '--create', '--file=-', '--format=pax', paxTimes, ...tarKeeps, '--ignore-failed-read'],
  `--listed-incremental=${snapshot}`,
  // Device numbers of file systems may differ after a boot; the inode and its times tell enough.
  '--no-check-device',
  // What is said of patterns would hold for the names as well.
  ...['--anchored', ...exclude.map((path) => `--exclude=${literally(path)}/*`), '--no-anchored'],
  '--',
  ...names,
];

/** What takes a file out of an archive that comes on the input. */
export type Extraction = {
  readonly format: FormatName;
  /** File with names, each ended by a zero byte; everything without. */
  readonly names?: string;
  /** True for root: owners are set as they were. */
  readonly owners: boolean;
  /** Names that went since the full backup are removed. */
  readonly incremental: boolean;
  /** Without names: only this folder and what is in it, but not what is in these below it. */
  readonly part: { readonly at: string; readonly except: readonly string[] };
};

export const extractArgv = (extraction: Extraction): readonly string[] =>
  extraction.format === 'cpio' ? cpioExtractArgv(extraction) : tarExtractArgv(extraction);

function cpioExtractArgv({ names, owners, part }: Extraction): readonly string[] {
  const inIt = (name: string): string => `${literally(asCpioHasIt(name))}/*`;
  // Its patterns name what is taken or what is not: who takes a part gets what is below it, too.
  const chosen =
    names !== undefined
      ? [`--pattern-file=${names}`]
      : part.at === '.'
        ? ['--nonmatching', `${ownMembers.folder}/*`, ...part.except.map(inIt)]
        : [literally(asCpioHasIt(part.at)), inIt(part.at)];
  return [
    ...['cpio', '--extract', '--make-directories', '--preserve-modification-time', '--unconditional', '--sparse'],
    ...['--no-absolute-filenames', '--quiet', '-C', '10240'],
    ...(owners ? [] : ['--no-preserve-owner']),
    ...chosen,
  ];
}

const tarGives = (owners: boolean): readonly string[] => [
  ...[...tarKeeps, '--same-permissions', '--delay-directory-restore', '--keep-directory-symlink'],
  owners ? '--same-owner' : '--no-same-owner',
];

function tarExtractArgv({ names, owners, incremental, part }: Extraction): readonly string[] {
  const chosen =
    names === undefined
      ? [
          ...['--anchored', `--exclude=${ownMembers.folder}`],
          ...part.except.map((at) => `--exclude=${literally(at)}/*`),
          ...(part.at === '.' ? [] : ['--', part.at]),
        ]
      : ['--no-recursion', '--null', '--verbatim-files-from', `--files-from=${names}`];
  return [
    ...['tar', '--extract', '--file=-', ...tarGives(owners)],
    ...(incremental ? ['--listed-incremental=/dev/null'] : []),
    ...chosen,
  ];
}

/** Keeps folders without their content in an archive, and gives it to them again. */
export const foldersArgv = {
  keep: (file: string, names: string): readonly string[] => [
    ...['tar', '--create', '--force-local', `--file=${file}`, '--format=pax', paxTimes, ...tarKeeps],
    ...['--no-recursion', '--null', '--verbatim-files-from', `--files-from=${names}`],
  ],
  give: (file: string, owners: boolean): readonly string[] => [
    ...['tar', '--extract', '--force-local', `--file=${file}`, ...tarGives(owners)],
  ],
} as const;

/** A name as a pattern that means just that name (fnmatch(3)). */
export const literally = (name: string): string => name.replaceAll(/[\\*?[\]]/g, '\\$&');

export const compressArgv: Readonly<Record<Compression, readonly string[] | undefined>> = {
  none: undefined,
  gzip: ['gzip', '--stdout'],
  zstd: ['zstd', '--quiet', '--threads=0', '--check', '--stdout'],
};

export const decompressArgv: Readonly<Record<Compression, readonly string[] | undefined>> = {
  none: undefined,
  gzip: ['gzip', '--decompress', '--stdout'],
  zstd: ['zstd', '--quiet', '--decompress', '--stdout'],
};

/** What the archiver said: files that went or changed while it read, which is no failure, and what is. */
export type Complaints = { readonly meanwhile: readonly string[]; readonly failures: readonly string[] };

const harmless = [
  /: (?:Warning: )?Cannot (?:stat|open|readlink): No such file or directory$/,
  /: File removed before we read it$/,
];
const changed = [/: file changed as we read it$/, /: File shrank by \d+ bytes/, /: [Ff]ile .*(?:grew|shrunk)/];
const noise = [
  /: Exiting with failure status due to previous errors$/,
  /: Removing leading /,
  /: socket ignored$/,
  /: directory is new$/,
  /: Directory (?:is new|has been renamed)/,
  /is on a different filesystem; not dumped$/,
];

const matches = (patterns: readonly RegExp[], line: string): boolean => patterns.some((pattern) => pattern.test(line));

/** How many names it did not find any more: they are in no archive. */
export const goneAmong = (meanwhile: readonly string[]): number =>
  meanwhile.filter((line) => matches(harmless, line)).length;

/** Sorts what the archiver wrote to its standard error in the C locale. */
export function sortComplaints(text: string): Complaints {
  const lines = text.split('\n').filter((line) => line.trim() !== '' && !matches(noise, line));
  const isMeanwhile = (line: string): boolean => matches(harmless, line) || matches(changed, line);
  return { meanwhile: lines.filter(isMeanwhile), failures: lines.filter((line) => !isMeanwhile(line)) };
}

/** The programs that a backup needs, besides those that every server has. */
export const programsFor = (format: FormatName, compression: Compression): readonly string[] => [
  ...(format === 'cpio' ? ['cpio', 'getfattr'] : ['tar']),
  ...(compression === 'none' ? [] : [compression]),
];
