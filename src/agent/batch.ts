import { CmsadmError } from '../errors.ts';
import { answered, answerRefused } from './answers.ts';
import { type Answer, answersSchema, type Change, FULL } from './changes.ts';
import type { Window } from './window.ts';

/** Changes that are collected until a message is full; what is added first is done first. */
export type Batch = {
  /**
   * @param bytes of its content
   * @param settle called with the other server's answer; what it throws ends the work
   */
  add(change: Change, bytes: number, settle: (answer: Answer) => void): Promise<void>;
  /** Sends what is collected, as soon as there is room. @throws what an earlier call ended with */
  send(): Promise<void>;
};

export function makeBatch(window: Window, call: (changes: readonly Change[]) => Promise<unknown>): Batch {
  let collected: { readonly change: Change; settle(answer: Answer): void }[] = [];
  let size = 0;
  const send = async (): Promise<void> => {
    const [sent, bytes] = [collected, size];
    if (sent.length === 0) return;
    [collected, size] = [[], 0];
    await window.add(bytes, async () => {
      const answers = answered(answersSchema, await call(sent.map(({ change }) => change)));
      if (answers.length !== sent.length) throw answerRefused([`${answers.length} answers to ${sent.length} changes`]);
      let failed: { readonly error: unknown } | undefined;
      for (const [index, answer] of answers.entries())
        try {
          sent[index]?.settle(answer);
        } catch (error) {
          // The others are done all the same.
          failed ??= { error };
        }
      if (failed) throw failed.error;
    });
  };
  return {
    send,
    add: async (change, bytes, settle) => {
      if (size + bytes > FULL.bytes) await send();
      collected.push({ change, settle });
      // Names and facts of each, roughly.
      size += bytes + 300;
      if (collected.length === FULL.changes) await send();
    },
  };
}

/** An answer that is a refusal, thrown. */
export function orRefused(answer: Answer): boolean {
  if (typeof answer === 'boolean') return answer;
  const { code, message, remedy, file } = answer;
  throw new CmsadmError(code, message, {
    ...(remedy === undefined ? {} : { remedy }),
    ...(file === undefined ? {} : { file }),
  });
}
