import { CmsadmError } from '../errors.ts';
import { run } from '../host/processes.ts';

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
