/** A busy machine needs longer; what never comes is told with what was there last. */
const LONGEST = 40_000;

/** Waits for what comes by itself. */
export async function until<T>(look: () => T | Promise<T>, wanted: (value: T) => boolean): Promise<T> {
  for (const end = Date.now() + LONGEST; ; ) {
    const value = await look();
    if (wanted(value)) return value;
    if (Date.now() > end) throw new Error(`never came; last seen: ${JSON.stringify(value)}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
