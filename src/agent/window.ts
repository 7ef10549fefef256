/** How many calls, and how many bytes of them, may wait for their answer at once. */
const most = { calls: 64, bytes: 4_194_304 };

/** Calls under way to the other server: several at once, so that a line's delay counts once and not for each. */
export type Window = {
  /** Starts a call as soon as there is room. @throws what an earlier call ended with */
  add(bytes: number, call: () => Promise<void>): Promise<void>;
  /** Waits until every call is answered. @throws the first error */
  empty(): Promise<void>;
};

export function makeWindow(): Window {
  const calls = new Set<Promise<void>>();
  let bytes = 0;
  let failed: { readonly error: unknown } | undefined;
  const check = (): void => {
    if (failed) throw failed.error;
  };
  return {
    add: async (size, call) => {
      while (calls.size > 0 && (calls.size >= most.calls || bytes + size > most.bytes)) await Promise.race(calls);
      check();
      bytes += size;
      const done = call()
        .catch((error: unknown) => {
          failed ??= { error };
        })
        .finally(() => {
          bytes -= size;
          calls.delete(done);
        });
      calls.add(done);
    },
    empty: async () => {
      while (calls.size > 0) await Promise.all(calls);
      check();
    },
  };
}
