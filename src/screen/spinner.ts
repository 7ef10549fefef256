import type { Writable } from 'node:stream';

/** What turns while the one running step takes its time. */
export type Spinner = {
  /** Turns with this text; before ora is loaded nothing is seen. */
  start(text: string): void;
  /** Leaves the line empty and the cursor as it was. */
  stop(): void;
};

/** A spinner on a terminal. ora is loaded with the first step, and only then. */
export function makeSpinner(stream: Writable, coloured: boolean): Spinner {
  let wanted: string | undefined;
  let running: { stop: () => unknown } | undefined;
  const stop = (): void => {
    wanted = undefined;
    running?.stop();
    running = undefined;
  };
  const turn = async (): Promise<void> => {
    const { default: ora } = await import('ora');
    if (wanted === undefined || running) return;
    running = ora({
      text: wanted,
      stream,
      spinner: 'line',
      color: coloured ? 'cyan' : false,
      isEnabled: true,
      // In raw mode Ctrl-C would depend on ora; the transaction wants the plain signal.
      discardStdin: false,
    }).start();
  };
  return {
    start: (text) => {
      stop();
      wanted = text;
      // Without its spinner a step works all the same.
      turn().catch(() => undefined);
    },
    stop,
  };
}
