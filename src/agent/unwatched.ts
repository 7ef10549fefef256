import type { Agent } from './agent.ts';
import { isSystemError } from './data-set.ts';
import { raiseOnce, settleBut } from './standing-alarms.ts';

const head = 'Admin-sync sees changes late:';

/** The limit that keeps a folder from being watched, by the system's code. (inotify(7)) */
const limits: Readonly<Record<string, string>> = {
  ENOSPC: 'fs.inotify.max_user_watches',
  EMFILE: 'fs.inotify.max_user_instances',
};

function alarmText(codes: readonly string[]): string | undefined {
  if (codes.length === 0) return undefined;
  const kinds = [...new Set(codes)].sort();
  const toRaise = kinds.flatMap((code) => limits[code] ?? []);
  const remedy = toRaise.length === 0 ? '' : ` Raise with sysctl: ${toRaise.join(', ')}.`;
  return `${head} ${codes.length} folders cannot be watched (${kinds.join(', ')}). What changes there is found only by the regular comparison.${remedy}`;
}

/** Looks whether all folders are watched: it is an alarm while some are not. */
export function makeUnwatched({ host, sets, event, log }: Agent): () => void {
  /** Null until it is known: an alarm of a run before this one may still stand. */
  let told: string | undefined | null = null;
  return () => {
    const text = alarmText([...sets.values()].flatMap((live) => live.unwatched()));
    if (text === told) return;
    try {
      settleBut(host, [head], text);
      if (text !== undefined) raiseOnce(host, text);
    } catch (error) {
      // A full disk must not end the agent; it is tried again.
      if (!isSystemError(error)) throw error;
      return log(`the alarms cannot be written: ${error.message}`);
    }
    if (text !== undefined && !told) event('sync-unwatched', text);
    if (text === undefined && told) event('sync-watched', 'every folder is watched again');
    told = text;
  };
}
