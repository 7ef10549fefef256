import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import { type Root, readText } from '../host/root.ts';
import { removeDurably, writeState } from '../host/writing.ts';
import { ownFolder } from '../pair/administered.ts';

const recordSchema = v.strictObject({
  /** Whether everybody could connect before we changed anything. */
  public: v.boolean(),
  /** Whom we granted something: nobody else's grant is ever revoked. Written before it is granted. */
  granted: v.array(v.string()),
});
export type AccessRecord = v.InferOutput<typeof recordSchema>;

/** What this server's database had before, and has from us: never carried to the other one. */
export const accessRecordFile = `${ownFolder}/database-access.json`;

/** @throws CmsadmError state-unreadable */
export function readAccessRecord(root: Root): AccessRecord | undefined {
  const text = readText(root, accessRecordFile);
  if (text === undefined) return undefined;
  try {
    return v.parse(recordSchema, JSON.parse(text));
  } catch (cause) {
    throw new CmsadmError('state-unreadable', `${accessRecordFile} is damaged: whose grants are ours is not known.`, {
      file: accessRecordFile,
      cause,
      remedy: 'Correct it, or move it away: then no grant that is there now counts as ours.',
    });
  }
}

/** Durable when it returns. */
export function writeAccessRecord(root: Root, record: AccessRecord | undefined): void {
  if (record === undefined) removeDurably(root, accessRecordFile);
  else writeState(root, accessRecordFile, `${JSON.stringify(record, null, 2)}\n`);
}
