import { dirname } from 'node:path';
import { CmsadmError, explained } from '../errors.ts';
import type { Root } from '../host/root.ts';
import { appendLog, makeFolders } from '../host/writing.ts';
import { paths } from './state.ts';

/** One run of menu or command, as the administration log tells it. */
export type AdminLog = {
  /** @throws where the log can't be written: whoever could not be recorded chooses nothing */
  choice(text: string): void;
  /** Throws nothing: what was done is done, whether the log has room for it or not. */
  outcome(text: string): void;
};

// Control and format characters (an escape, a direction mark) and line breaks must not forge or hide a line.
const oneLine = (text: string): string =>
  text.replace(
    /[\p{C}\u2028\u2029]/gu,
    (character) => `\\x${(character.codePointAt(0) ?? 0).toString(16).padStart(2, '0')}`,
  );

/**
 * Opens the log of this run: its start, its choices (never a secret), and its outcome as the last line.
 * @param clock milliseconds since 1970
 * @param warn is told of an outcome that could not be written
 * @throws where the start can't be written
 */
export function openAdminLog(
  root: Root,
  run: { readonly pid: number; readonly operator: string; readonly what: string },
  clock: () => number,
  warn: (text: string) => void,
): AdminLog {
  makeFolders(root, dirname(paths.adminLog), 0o755);
  const write = (kind: string, text: string): void =>
    appendLog(
      root,
      paths.adminLog,
      `${new Date(clock()).toISOString()} [${run.pid}] ${oneLine(`${run.operator} ${kind}: ${text}`)}\n`,
      0o640,
    );
  write('start', run.what);
  const outcome = (text: string): void => {
    try {
      write('outcome', text);
    } catch (thrown) {
      const error = explained(thrown);
      if (!(error instanceof CmsadmError)) throw error;
      warn(`How this ended could not be written into ${paths.adminLog}: ${error.message}`);
    }
  };
  return { choice: (text) => write('choice', text), outcome };
}
