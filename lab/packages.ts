import { cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { homedir, tmpdir } from 'node:os';
import { join } from 'node:path';
import { copyIn, exec } from './lab.ts';
import { run } from './run.ts';
import type { ServerName } from './servers.ts';

/** The argv that apt-get(8) begins with, here and on the servers. */
export const aptGet = ['apt-get', '-q', '-y', '--no-install-recommends'] as const;

/**
 * Installs a package of Debian's on running servers of the lab, with what it needs and they lack, as the first one's
 * package state says. Fetched once with this machine's own apt, then kept in `$CMSADM_CACHE` or ~/.cache/cmsadm.
 */
export async function installOn(servers: readonly [ServerName, ...ServerName[]], name: string): Promise<void> {
  const cache = join(process.env['CMSADM_CACHE'] ?? join(homedir(), '.cache', 'cmsadm'), 'debs', name);
  if (!existsSync(cache)) await fetchPackage(servers[0], name, cache);
  const place = `/root/debs-${name}`;
  const debs = readdirSync(cache).map((deb) => `${place}/${deb}`);
  await Promise.all(
    servers.map(async (server) => {
      await copyIn(server, cache, place);
      // apt knows their order; with the files at hand it needs no network.
      await exec(server, [...aptGet, '-o', 'Dpkg::Options::=--force-unsafe-io', 'install', ...debs], {
        timeoutMs: 300_000,
      });
      await exec(server, ['rm', '-r', place]);
    }),
  );
}

async function fetchPackage(server: ServerName, name: string, cache: string): Promise<void> {
  const folder = mkdtempSync(join(tmpdir(), 'cmsadm-bench-'));
  try {
    const status = join(folder, 'status');
    writeFileSync(status, (await exec(server, ['cat', '/var/lib/dpkg/status'])).stdout);
    const archives = join(folder, 'archives');
    mkdirSync(join(archives, 'partial'), { recursive: true });
    const elsewhere = [`Dir::State::status=${status}`, `Dir::Cache::archives=${archives}`, 'Debug::NoLocking=1'];
    const options = elsewhere.flatMap((option) => ['-o', option]);
    await run([...aptGet, ...options, '--download-only', 'install', name]);
    rmSync(join(archives, 'partial'), { recursive: true });
    cpSync(archives, cache, { recursive: true });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
