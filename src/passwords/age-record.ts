import * as v from 'valibot';
import { CmsadmError } from '../errors.ts';
import { type Root, readText } from '../host/root.ts';
import { removeDurably, writeState } from '../host/writing.ts';
import { ownFolder } from '../pair/administered.ts';

const ages = v.strictObject({ min: v.number(), max: v.number(), warn: v.number() });
const recordSchema = v.strictObject({
  /** An account of the same name that was made anew is another one. */
  uid: v.number(),
  /** What the account had before password aging was turned on. */
  before: ages,
  /** What stands there as far as it is known; another value is somebody else's. */
  set: ages,
  /** What is being set: written before it is done, so that nobody takes it for somebody else's after a crash. */
  next: v.nullable(ages),
});
export type AgeRecord = v.InferOutput<typeof recordSchema>;
export type AgeRecords = Readonly<Record<string, AgeRecord>>;

/** What each account of this server had before: never carried to the other one. */
export const ageRecordFile = `${ownFolder}/password-ages.json`;

/** @throws CmsadmError state-unreadable */
export function readAgeRecords(root: Root): AgeRecords {
  const text = readText(root, ageRecordFile);
  if (text === undefined) return {};
  try {
    return v.parse(v.record(v.string(), recordSchema), JSON.parse(text));
  } catch (cause) {
    throw new CmsadmError('state-unreadable', `${ageRecordFile} is damaged: what the users had before is not known.`, {
      file: ageRecordFile,
      cause,
      remedy: `Correct it or move it away; then what the users have now counts as what they had before.`,
    });
  }
}

/** Durable when it returns; without records there is no file. */
export function writeAgeRecords(root: Root, records: AgeRecords): void {
  if (Object.keys(records).length === 0) removeDurably(root, ageRecordFile);
  else writeState(root, ageRecordFile, `${JSON.stringify(records, null, 2)}\n`);
}
