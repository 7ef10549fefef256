/** So many bytes are written before the disk is told to take them. */
const often = 96 * 1024 * 1024;

/**
 * Has the disk take what is written while more is written: at the end there is little left to wait for, and the memory of
 * this server is not filled with pages of the archive.
 */
export function earlySync(sync: () => Promise<void>) {
  let running: Promise<void> | undefined;
  let failed: unknown;
  let synced = 0;
  return {
    /** Told how many bytes there are by now. */
    note: (bytes: number): void => {
      if (running || bytes - synced < often) return;
      synced = bytes;
      running = sync()
        .catch((error: unknown) => {
          failed = error;
        })
        .finally(() => {
          running = undefined;
        });
    },
    /** Waits for what is under way. @throws what the disk refused */
    settled: async (): Promise<void> => {
      await running;
      if (failed !== undefined) throw failed;
    },
  };
}
