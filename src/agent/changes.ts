import * as v from 'valibot';
import { entrySchema, PART } from './entry.ts';

export const seqSchema = v.pipe(v.number(), v.safeInteger(), v.minValue(1));

/** Content of a file in one message, as base64. */
export const dataSchema = v.pipe(v.string(), v.maxLength(Math.ceil(PART / 3) * 4));

/** A change of a data set: many go in one message, and are on the other server's disk together. */
const changeSchema = v.variant('kind', [
  /** A whole file, a folder or a link. */
  v.strictObject({ kind: v.literal('put'), seq: seqSchema, entry: entrySchema, data: dataSchema }),
  v.strictObject({ kind: v.literal('remove'), seq: seqSchema, path: v.string() }),
]);
export type Change = v.InferOutput<typeof changeSchema>;

/** At most so many changes, and so many bytes of content (before base64), are sent in one message. */
export const FULL = { changes: 100, bytes: 524_288 } as const;
export const changesSchema = v.pipe(v.array(changeSchema), v.maxLength(FULL.changes));

/** What became of one change: done (false: a folder that holds more than what is carried stays), or why not. */
export const answerSchema = v.union([
  v.boolean(),
  v.object({
    code: v.string(),
    message: v.string(),
    remedy: v.optional(v.string()),
    file: v.optional(v.string()),
  }),
]);
export const answersSchema = v.array(answerSchema);
export type Answer = v.InferOutput<typeof answerSchema>;
export type Refusal = Exclude<Answer, boolean>;
