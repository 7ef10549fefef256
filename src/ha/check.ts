export type Level = 'pass' | 'warn' | 'fail';
/** One thing that was checked, on one server or on both. */
export type Check = {
  readonly id: string;
  readonly server: string;
  readonly level: Level;
  readonly text: string;
  readonly remedy?: string;
  readonly details?: readonly string[];
};

/** @param good what is told where it is `ok`, @param bad what is told otherwise, @param remedy the next thing to do then */
export function check(
  id: string,
  server: string,
  ok: boolean,
  good: string,
  bad: string,
  remedy: string,
  level: 'warn' | 'fail' = 'fail',
  details: readonly string[] = [],
): Check {
  return ok
    ? { id, server, level: 'pass', text: good }
    : { id, server, level, text: bad, remedy, ...(details.length > 0 ? { details } : {}) };
}
