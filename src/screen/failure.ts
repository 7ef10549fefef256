import { CmsadmError, exitCodes } from '../errors.ts';
import { printable, wrap } from '../printable.ts';

/** An error for a person: what happened, where, every problem, and the next thing to do. Of a bug, the stack too. */
export function failureLines(error: unknown, width: number): string[] {
  if (!(error instanceof CmsadmError))
    return [
      'ERROR: cmsadm came upon something that it was not made for (a bug).',
      ...stackOf(error).split('\n').map(printable),
      '  Next: report it, with the lines above and what was typed.',
    ];
  const where = [error.server, error.file].filter((part) => part !== undefined).join(', ');
  return [
    ...wrap(error.message, width, 'ERROR: '),
    ...(where === '' ? [] : wrap(where, width, '  on ')),
    ...error.details.flatMap((detail) => wrap(detail, width, '  - ')),
    ...(error.remedy === undefined ? [] : wrap(error.remedy, width, '  Next: ')),
  ];
}

/** The same for a program; absent values are null, so that the keys are always there. */
export function failureValue(error: unknown): Record<string, unknown> {
  if (!(error instanceof CmsadmError)) {
    const message = error instanceof Error ? error.message : String(error);
    return {
      error: { code: 'bug', message, server: null, file: null, details: [], remedy: null, exitCode: exitCodes.bug },
    };
  }
  const { code, message, server, file, details, remedy, exitCode } = error;
  return {
    error: { code, message, server: server ?? null, file: file ?? null, details, remedy: remedy ?? null, exitCode },
  };
}

const stackOf = (error: unknown): string => (error instanceof Error ? (error.stack ?? error.message) : String(error));
