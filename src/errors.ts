/**
 * The one error class. A `CmsadmError` was foreseen and tells the operator what to do next;
 * anything else that is thrown is a bug and leaves with `exitCodes.bug` and its stack.
 */
export const exitCodes = {
  done: 0,
  /** `--dry-run` found changes that a run would make. */
  pending: 2,
  /** Refused before anything was touched. */
  refused: 3,
  /** Failed; everything was put back on both servers. */
  putBack: 4,
  /** Failed; a person has to look. */
  needsPerson: 5,
  usage: 64,
  bug: 70,
  /** Done, but nobody could be told: sysexits(3) EX_IOERR. */
  outputLost: 74,
  interrupted: 130,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** What an error may carry besides its message. `remedy` is the next thing to do or type. */
export type ErrorFacts = {
  readonly remedy?: string;
  readonly exitCode?: ExitCode;
  /** The server it happened on, by FQDN or address. */
  readonly server?: string;
  readonly file?: string;
  /** Several problems found at once, one sentence each. */
  readonly details?: readonly string[];
  readonly cause?: unknown;
};

/**
 * Runs what comes after a decision: nothing can be put back any more, so a failure needs a person.
 * @throws CmsadmError with exit code needsPerson
 */
export async function afterTheDecision<T>(what: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (thrown) {
    const error = explained(thrown);
    if (!(error instanceof CmsadmError)) throw error;
    throw new CmsadmError(error.code, `${what}: ${error.message}`, {
      exitCode: exitCodes.needsPerson,
      details: error.details,
      remedy: error.remedy ?? 'Look at both servers with `cmsadm config_HA show`.',
      ...(error.server === undefined ? {} : { server: error.server }),
      ...(error.file === undefined ? {} : { file: error.file }),
      cause: error,
    });
  }
}

export class CmsadmError extends Error {
  readonly code: string;
  readonly remedy: string | undefined;
  readonly exitCode: ExitCode;
  readonly server: string | undefined;
  readonly file: string | undefined;
  readonly details: readonly string[];

  /** `code` is a stable kebab-case name (`host-key-changed`); `message` one sentence for the operator. */
  constructor(code: string, message: string, facts: ErrorFacts = {}) {
    super(message, facts.cause === undefined ? undefined : { cause: facts.cause });
    this.name = 'CmsadmError';
    this.code = code;
    this.remedy = facts.remedy;
    this.exitCode = facts.exitCode ?? exitCodes.refused;
    this.server = facts.server;
    this.file = facts.file;
    this.details = facts.details ?? [];
  }
}

/**
 * What the operating system refused (a full or read-only disk, a file that can't be read) as an error that names the
 * file; anything else as it is.
 */
export function explained(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof CmsadmError || !('syscall' in error)) return error;
  const file = 'path' in error && typeof error.path === 'string' ? error.path : undefined;
  return new CmsadmError('system-refused', `The system refused a file: ${error.message}`, {
    ...(file === undefined ? {} : { file }),
    remedy: 'Make room or put the permissions or the disk right there, then run the command again.',
    cause: error,
  });
}
