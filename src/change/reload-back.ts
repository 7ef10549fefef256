import type { Host } from '../host/system.ts';

/**
 * Has services read the files that were put back, and starts those that the change brought down: an sshd that died of
 * its reload is what locks everybody out.
 * @param running the units that ran before the change
 * @param by `itself` may be the boot, which waits for us: then nothing is waited for
 * @throws CmsadmError service-failed where a service neither reloads nor restarts
 */
export async function reloadBack(
  host: Host,
  reload: readonly string[],
  running: readonly string[],
  by: 'operator' | 'itself',
): Promise<void> {
  const { control, units } = host.system;
  const failed: unknown[] = [];
  for (const unit of await notReloaded(host, reload)) {
    // What cannot reload may be restarted; but not a unit without a process (nftables), which would let all in or out.
    const isDaemon = (await units([unit]))[unit]?.daemon === true;
    await control(isDaemon ? 'try-restart' : 'try-reload-or-restart', [unit]).catch((error) => failed.push(error));
  }
  const states = await units(reload);
  const down = reload.filter((unit) => running.includes(unit) && !states[unit]?.active);
  await control(
    'reset-failed',
    down.filter((unit) => states[unit]?.failed),
  );
  await control(by === 'operator' ? 'restart' : 'start', down);
  if (failed.length > 0) throw failed[0];
}

/** One call for all; each by itself only where that failed. */
async function notReloaded({ system }: Host, reload: readonly string[]): Promise<readonly string[]> {
  try {
    await system.control('try-reload-or-restart', reload);
    return [];
  } catch {
    return reload;
  }
}
