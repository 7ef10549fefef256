import * as fs from 'node:fs';
import * as v from 'valibot';
import { readAccounts } from './accounts.ts';
import { mtimeOf, orGone, READ_ONLY } from './data-set.ts';
import { PART, targetSchema } from './entry.ts';
import { firstOf } from './hard-links.ts';
import { holdPlace } from './place.ts';
import { stampOf, type Tree } from './tree.ts';

const own = { owner: v.string(), group: v.string() };
const mode = v.pipe(v.number(), v.integer(), v.minValue(0), v.maxValue(0o7777));
const count = v.pipe(v.number(), v.safeInteger(), v.minValue(0));

/** What stands under a name on the other server; of a file one part, and a stamp that is the same for parts of one file. */
export const partSchema = v.nullable(
  v.variant('type', [
    v.strictObject({ type: v.literal('folder'), ...own, mode }),
    v.strictObject({ type: v.literal('link'), ...own, target: targetSchema }),
    v.strictObject({
      type: v.literal('file'),
      ...own,
      mode,
      mtimeMs: v.pipe(v.number(), v.safeInteger()),
      size: count,
      stamp: v.string(),
      /** The path of the file that this is a further name of (a hard link). */
      same: v.optional(v.string()),
      data: v.pipe(v.string(), v.maxLength(Math.ceil(PART / 3) * 4)),
    }),
  ]),
);
export type Part = v.InferOutput<typeof partSchema>;

/**
 * Reads one name of a data set, or a part of it, for the other server; a link is not followed, in no part of the path.
 * @returns null where nothing is that a data set carries
 * @throws CmsadmError path-refused, data-set-missing
 */
export function readPart(tree: Tree, path: string, offset: number): Part {
  const held = holdPlace(tree, path);
  try {
    const stat = orGone(() => fs.lstatSync(held.place));
    if (!stat) return null;
    const accounts = readAccounts(tree.host.root);
    const ownOf = ({ uid, gid }: fs.Stats) => ({ owner: accounts.owner(uid), group: accounts.group(gid) });
    if (stat.isDirectory()) return { type: 'folder', ...ownOf(stat), mode: stat.mode & 0o7777 };
    if (stat.isSymbolicLink()) {
      const target = orGone(() => fs.readlinkSync(held.place, 'buffer').toString('latin1'));
      return target === undefined ? null : { type: 'link', ...ownOf(stat), target };
    }
    if (!stat.isFile()) return null;
    const part = readFilePart(held.place, offset, ownOf);
    const same = firstOf(tree, path);
    return part && same !== undefined ? { ...part, same } : part;
  } finally {
    fs.closeSync(held.handle);
  }
}

type FilePart = Extract<Part, { type: 'file' }>;

function readFilePart(
  place: Buffer,
  offset: number,
  ownOf: (stat: fs.Stats) => { owner: string; group: string },
): FilePart | null {
  const file = orGone(() => fs.openSync(place, READ_ONLY));
  if (file === undefined) return null;
  try {
    const stat = fs.fstatSync(file);
    if (!stat.isFile()) return null;
    const data = Buffer.alloc(Math.max(0, Math.min(PART, stat.size - offset)));
    const length = fs.readSync(file, data, 0, data.length, offset);
    return {
      type: 'file',
      ...ownOf(stat),
      mode: stat.mode & 0o7777,
      mtimeMs: mtimeOf(stat),
      size: stat.size,
      stamp: stampOf(stat),
      data: data.subarray(0, length).toString('base64'),
    };
  } finally {
    fs.closeSync(file);
  }
}
