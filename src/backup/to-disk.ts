import * as fs from 'node:fs';
import { CmsadmError } from '../errors.ts';
import { run } from '../host/processes.ts';

/** Names that came into a folder, or went, are on its disk. */
export function syncFolder(folder: string): void {
  const handle = fs.openSync(folder, 'r');
  try {
    fs.fsyncSync(handle);
  } finally {
    fs.closeSync(handle);
  }
}

/** Waits until the file systems that these folders lie on are on their disks. @throws CmsadmError restore-failed */
export async function toDisk(folders: readonly string[]): Promise<void> {
  const { exitCode, stderr } = await run(['sync', '--file-system', ...folders], { timeout: 3_600_000 });
  if (exitCode === 0) return;
  throw new CmsadmError('restore-failed', 'What was restored could not be brought to the disk.', {
    file: folders.join(', '),
    details: [stderr.trim()],
    remedy: 'See what the kernel says of this disk: journalctl -k',
  });
}
