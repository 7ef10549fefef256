import { CmsadmError, exitCodes } from '../errors.ts';

/** @throws CmsadmError interrupted, once the operator asked to stop */
export function refuseIfStopped(stop: { readonly requested: boolean }): void {
  if (stop.requested)
    throw new CmsadmError('interrupted', 'Interrupted: what was begun was taken away again.', {
      exitCode: exitCodes.interrupted,
    });
}
