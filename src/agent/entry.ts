import { createHash } from 'node:crypto';
import * as v from 'valibot';
import type { Profile } from '../profile/schema.ts';

export type DataSet = Profile['dataSets'][number];

/** Path in a data set: one character per byte, `/` between names. What it may be is judged where it is used. */
const path = v.string();
const own = { path, owner: v.string(), group: v.string() };
const mode = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0o7777));
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

export const fileSchema = v.strictObject({
  type: v.literal('file'),
  ...own,
  mode,
  mtimeMs: v.pipe(v.number(), v.safeInteger()),
  size: count,
  sha256: v.pipe(v.string(), v.regex(/^[0-9a-f]{64}$/)),
});
/** Bytes as latin1 characters, as the system takes them: none of them zero. */
const isBytes = (text: string): boolean => [...text].every((c) => c > '\0' && c <= '\xff');

/** What a link leads to. */
export const targetSchema = v.pipe(v.string(), v.minLength(1), v.check(isBytes));

export const entrySchema = v.variant('type', [
  v.strictObject({ type: v.literal('folder'), ...own, mode }),
  v.strictObject({ type: v.literal('link'), ...own, target: targetSchema }),
  /** `same`: the path of the file that this is a further name of (a hard link). */
  v.strictObject({ ...fileSchema.entries, same: v.optional(v.string()) }),
]);
/** One name in a data set, with all that is carried of it. */
export type Entry = v.InferOutput<typeof entrySchema>;
export type FileEntry = Extract<Entry, { type: 'file' }>;

const letters = { folder: 'd', link: 'l', file: 'f' } as const;

/**
 * A short text that two entries share exactly when nothing has to be carried to make one the other: a letter for the
 * type, then 128 bits of SHA-256 over all that is carried.
 */
export function signOf(entry: Entry): string {
  const own = [entry.owner, entry.group, entry.type === 'link' ? entry.target : entry.mode];
  const all = entry.type === 'file' ? [...own, entry.mtimeMs, entry.sha256] : own;
  const sign = letters[entry.type] + digestOf(all);
  return entry.type === 'file' && entry.same !== undefined ? linkSign(sign, entry.same) : sign;
}

/** The sign of a further name of a file, from the file's own sign and its first name. */
export const linkSign = (sign: string, first: string): string => letters.file + digestOf([sign, first]);

const digestOf = (all: readonly unknown[]): string =>
  createHash('sha256').update(JSON.stringify(all)).digest('base64').slice(0, 22);

/** Stands for the sign of a folder of which no more is known than that it is one. */
export const SOME_FOLDER = letters.folder;

/** True for the sign of a folder. */
export const isFolderSign = (sign: string | undefined): boolean => sign?.startsWith(letters.folder) ?? false;

/** Beginning of the names under which a file grows beside its target. */
export const TEMPORARY = '.cmsadm-sync.';

/** The folder in a data set where files grow that rsync brings; no data set carries it. */
export const BULK_FOLDER = '.cmsadm-sync.bulk';

/** Largest part of a file in one message, before it is written as base64. */
export const PART = 1_048_576;

/** The last part of a path. */
export const lastName = (whole: string): string => whole.slice(whole.lastIndexOf('/') + 1);

function globPattern(glob: string): RegExp {
  // The profile is UTF-8 text, the names of files are bytes.
  const bytes = Buffer.from(glob).toString('latin1');
  const source = bytes.replace(/[^*?]/g, (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`);
  return new RegExp(`^${source.replaceAll('*', '[^/]*').replaceAll('?', '[^/]')}$`, 's');
}

/**
 * Tells which paths of a data set are carried: not what the set excludes, no tagged backup, no temporary file. What is
 * left out is left out with everything below it. A glob with `/` is matched with the path, one without with each name.
 * Where a set includes some paths only, these, what is below them and the folders on the way to them.
 */
export function carriedBy(set: DataSet): (whole: string) => boolean {
  const globs = set.exclude.map((glob) => ({ pattern: globPattern(glob), whole: glob.includes('/') }));
  // What each server renders for itself.
  const own = new Set(set.rendered?.map(({ to }) => Buffer.from(to).toString('latin1')));
  const included = set.include?.map((path) => Buffer.from(path).toString('latin1'));
  const isIncluded = (whole: string): boolean =>
    included?.some((path) => path === whole || whole.startsWith(`${path}/`) || path.startsWith(`${whole}/`)) ?? true;
  const leftOut = (part: string): boolean => {
    if (own.has(part)) return true;
    const name = lastName(part);
    if (name.startsWith(TEMPORARY) || name.includes('.zdt_')) return true;
    return globs.some((glob) => glob.pattern.test(glob.whole ? part : name));
  };
  return (whole) => {
    if (!isIncluded(whole)) return false;
    for (let end = whole.indexOf('/'); end !== -1; end = whole.indexOf('/', end + 1))
      if (leftOut(whole.slice(0, end))) return false;
    return !leftOut(whole);
  };
}

/** The globs of whole names that a data set leaves out with everything below them; those with `/` are not among them. */
export const leftOutGlobs = ({ exclude }: DataSet): string[] => [
  `${TEMPORARY}*`,
  '*.zdt_*',
  ...exclude.filter((glob) => !glob.includes('/')),
];

/** A path for log lines and alarms: readable text, and no byte that could act on a terminal or forge a line. */
export function shownPath(whole: string): string {
  const bytes = Buffer.from(whole, 'latin1');
  const text = bytes.toString('utf8');
  const readable = Buffer.from(text, 'utf8').equals(bytes) ? text : whole;
  return [...readable]
    .map((c) => {
      const code = c.codePointAt(0) ?? 0;
      const printable = code >= 0x20 && !(code >= 0x7f && code < 0xa0) && (readable === text || code < 0x7f);
      return printable ? c : `\\x${code.toString(16).padStart(2, '0')}`;
    })
    .join('');
}
