import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { CmsadmError } from '../src/errors.ts';
import { end, identify } from './processes.ts';
import type { ServerName } from './servers.ts';

/**
 * Each lab server runs in a control group of its own. Without it all of them, started with `--keep-unit`, share the
 * group of this shell, and one server's systemd counts the other's processes as those of its own services.
 * It also names every process of a server beyond doubt, after a crash that lost the record of pids as well.
 */
const groupName = 'cmsadm-lab';

/** The hierarchies that systemd uses: the unified one, or on a hybrid machine its two (systemd's own and the v2 beside it). */
export function hierarchies(): readonly string[] {
  if (existsSync('/sys/fs/cgroup/cgroup.controllers')) return ['/sys/fs/cgroup'];
  return ['/sys/fs/cgroup/unified', '/sys/fs/cgroup/systemd'].filter((root) => existsSync(`${root}/cgroup.procs`));
}

/** Makes a server's groups and returns their folders. */
export function makeGroups(name: ServerName): readonly string[] {
  const folders = hierarchies().map((root) => `${root}/${groupName}/${name}`);
  for (const folder of folders) mkdirSync(folder, { recursive: true });
  return folders;
}

/** Ends whatever still runs in the lab's groups (of one server, or of all) and removes them. */
export async function removeGroups(name?: ServerName): Promise<void> {
  for (const root of hierarchies()) {
    const top = name === undefined ? `${root}/${groupName}` : `${root}/${groupName}/${name}`;
    const folders = groupsBelow(top);
    const pids = folders.flatMap((folder) => readFileSync(`${folder}/cgroup.procs`, 'utf8').split('\n'));
    // A process of a guest's own namespace that is about to vanish reads as 0.
    const found = pids
      .map(Number)
      .filter((pid) => pid > 0)
      .map(identify);
    await end(found.filter((one) => one !== undefined));
    for (const folder of folders) rmdirSync(folder);
  }
}

/** Stops or continues every process of a server at once: a hung machine whose cable is still in. */
export function setFrozen(name: ServerName, frozen: boolean): void {
  const file = hierarchies()
    .map((root) => `${root}/${groupName}/${name}/cgroup.freeze`)
    .find(existsSync);
  if (file === undefined) {
    throw new CmsadmError(
      'lab-no-freezer',
      `${name} can't be frozen: it is off, or the kernel has no version 2 control groups.`,
      {
        remedy: 'Use power-off, or cut, instead.',
      },
    );
  }
  writeFileSync(file, frozen ? '1' : '0');
}

/** All groups from `top` down, deepest first. */
function groupsBelow(top: string): readonly string[] {
  if (!existsSync(top)) return [];
  const below = readdirSync(top, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return [...below.flatMap((entry) => groupsBelow(`${top}/${entry.name}`)), top];
}
