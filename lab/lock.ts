import { createServer, type Server } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';
import { CmsadmError } from '../src/errors.ts';

// An abstract socket address (unix(7)): the kernel lets one process have it, and takes it back when that one ends,
// however it ends. So a crash leaves no lock behind.
const lockAddress = '\0cmsadm-lab';

/**
 * Runs `work` while nobody else on this machine changes the lab.
 * Throws `lab-busy` after two minutes of waiting, `lab-unavailable` to anybody but root.
 */
export async function withLock<T>(work: () => Promise<T>): Promise<T> {
  if (process.getuid?.() !== 0) {
    throw new CmsadmError('lab-unavailable', 'Only root can change the lab.', { remedy: 'Become root and try again.' });
  }
  const lock = await takeLock(Date.now() + 120_000);
  try {
    return await work();
  } finally {
    lock.close();
  }
}

async function takeLock(deadline: number): Promise<Server> {
  for (;;) {
    const lock = createServer();
    const taken = await new Promise<boolean>((resolve, reject) => {
      lock.once('listening', () => resolve(true));
      lock.once('error', (error) => ('code' in error && error.code === 'EADDRINUSE' ? resolve(false) : reject(error)));
      lock.listen(lockAddress);
    });
    if (taken) return lock;
    if (Date.now() > deadline) {
      throw new CmsadmError('lab-busy', 'Another process has been changing the lab for two minutes.', {
        remedy: 'Find it with: ss -xlp | grep cmsadm-lab',
      });
    }
    await sleep(100);
  }
}
