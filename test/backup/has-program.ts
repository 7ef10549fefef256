import { execFileSync } from 'node:child_process';

/** True where a program of this name can be run here. */
export const has = (program: string): boolean => {
  try {
    execFileSync(program, ['--version'], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
};
