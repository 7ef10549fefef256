import type { Writable } from 'node:stream';

/** A stream that may go away at any time: a closed pipe or a lost terminal must not stop a change half-way. */
export type Outlet = {
  readonly write: (text: string) => void;
  /** Nobody reads any more. */
  readonly isLost: () => boolean;
};

/**
 * Writes to a stream until the stream fails; from then on nothing is written. `onLost` hears of a failure that is more
 * than a reader who has seen enough (EPIPE) or a terminal that was closed (EIO).
 */
export function makeOutlet(stream: Writable, onLost: (reason: string) => void): Outlet {
  let isLost = false;
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (isLost) return;
    isLost = true;
    if (error.code !== 'EPIPE' && error.code !== 'EIO') onLost(error.message);
  });
  return {
    isLost: () => isLost || stream.destroyed,
    write: (text) => {
      if (text !== '' && !isLost && !stream.destroyed) stream.write(text);
    },
  };
}
