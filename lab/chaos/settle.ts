import { setTimeout as sleep } from 'node:timers/promises';
import { drain } from '../disk.ts';
import { exec, heal, powerOn, slow, thaw } from '../lab.ts';
import { findGuest } from '../lifecycle.ts';
import { labServers } from '../servers.ts';
import { onBoth, other, type PairServer, pair, underWay } from './standing.ts';

/** Ends whatever fault may still last: all in, all on, all running. */
export async function mendAll(): Promise<void> {
  for (const server of pair) {
    await drain(server);
    await heal(server);
    if (findGuest(server) === undefined) await powerOn(server);
    thaw(server);
    await slow(server);
    await exec(server, ['systemctl', 'start', 'ssh']);
  }
}

/** How what was left open was settled, and what the product said of it. */
export type Settled = {
  readonly by: 'nothing open' | 'itself' | 'person';
  readonly seconds: number;
  readonly told: readonly string[];
  readonly complaints: readonly string[];
};

/** A silent session is given up after half a minute, and a way back takes the confirm window and a moment. */
const ITSELF_SECONDS = 60;
/** A coordinator that must wait for the other server asks again; a person may as well run recover once more. */
const PERSON_SECONDS = 60;

/**
 * Waits until both servers have settled: by themselves, or at once by a person with `cmsadm recover` on both. A person
 * also comes where the servers did not manage alone, restarts the units that recover names, and reads the alarms away.
 */
export async function settle(wanted: 'itself' | 'person'): Promise<Settled> {
  const begun = performance.now();
  const seconds = (): number => (performance.now() - begun) / 1000;
  const busy = async (): Promise<boolean> => Object.values(await onBoth(underWay)).some((open) => open.length > 0);
  let by: Settled['by'] = 'nothing open';
  if (await busy()) {
    by = wanted;
    while (wanted === 'itself' && (await busy())) {
      if (seconds() > ITSELF_SECONDS) {
        by = 'person';
        break;
      }
      await sleep(500);
    }
  }
  const settledAfter = seconds();
  const { told, open } = await recoverBoth();
  await restartNamed(told);
  const late = by === 'nothing open' ? [] : open;
  return { by, seconds: by === 'person' ? seconds() : settledAfter, told, complaints: [...late] };
}

/** Runs `cmsadm recover` on both until neither has anything open, as a person would. */
async function recoverBoth(): Promise<{ told: string[]; open: string[] }> {
  const told: string[] = [];
  const deadline = performance.now() + PERSON_SECONDS * 1000;
  for (;;) {
    const open: string[] = [];
    for (const server of pair) {
      const found = await exec(server, ['test', '-x', '/usr/local/sbin/cmsadm'], { reject: false });
      if (found.exitCode !== 0) continue;
      const { exitCode, stdout, stderr } = await exec(server, ['cmsadm', 'recover'], { reject: false });
      const text = `${stdout}\n${stderr}`.trim().replaceAll(/\s+/g, ' ');
      told.push(`${server}: ${text}`);
      if (exitCode !== 0) open.push(`${server}: recover ended with ${exitCode}: ${text}`);
    }
    if (open.length === 0 || performance.now() > deadline) return { told, open };
    await sleep(2000);
  }
}

// "cms2.lab.example: … ids.service still runs with the other configuration: restart it", told by either server of both.
async function restartNamed(told: readonly string[]): Promise<void> {
  const parts = told.join(' ').split(/(?=\bcms[12]\.lab\.example: )/);
  for (const server of pair) {
    const lines = parts.filter((part) => part.startsWith(`${labServers[server].fqdn}:`)).join(' ');
    const named = [...lines.matchAll(/([\w@.-]+\.service) still runs with the other configuration/g)];
    const units = [...new Set(named.map(([, unit]) => unit ?? ''))];
    if (units.length > 0) await exec(server, ['systemctl', 'restart', ...units]);
  }
}

/** Ends the pair on the one server that still knows it, as its operator is told to; returns what was said against it. */
export async function endAlone(server: PairServer): Promise<readonly string[]> {
  const argv = ['cmsadm', 'config_HA', 'disable', '--alone', `--peer=${labServers[other(server)].fqdn}`, '--yes'];
  const { exitCode, stdout, stderr } = await exec(server, argv, { reject: false });
  if (exitCode !== 0) return [`${server}: disable --alone ended with ${exitCode}: ${stderr} ${stdout.slice(-400)}`];
  // Set up had brought the program to cms2; alone, disable leaves it to the operator.
  if (server === 'cms2') await exec(server, ['sh', '/opt/cmsadm/current/templates/install', '--remove']);
  return [];
}
