import { acdName, readAcds } from '../acd/definition.ts';
import { acdProfile } from '../acd/hooks.ts';
import { readRemovals } from '../acd/removal.ts';
import { exitCodes } from '../errors.ts';
import { count } from '../printable.ts';
import { type AcdServers, acdLine, askAcdServers, serversOf } from './acd-servers.ts';
import type { CommandContext, CommandOutcome } from './context.ts';

/** `cmsadm acd_list`: every ACD, its link and data collection on both servers, and the removed ones that are kept. */
export async function acdList(context: CommandContext): Promise<CommandOutcome> {
  const { host, profile, report } = context;
  acdProfile(profile);
  const servers = await askAcdServers(context, { sizes: true });
  tellAcds(context, servers);
  const acds = readAcds(host.root, profile).map(({ number, id, name, release, master }) => ({
    ...{ number, id, name, release, master },
  }));
  const removed = readRemovals(host.root, profile).map(({ number, definition, at }) => ({
    ...{ number, id: definition.id, name: definition.name, at },
  }));
  for (const { id, at, ...acd } of removed) report.line(`Removed: ${acdName(acd)}, ${at}, kept as ${id}`);
  return {
    exitCode: exitCodes.done,
    summary: `acd_list: ${count(acds.length, 'ACD')}`,
    result: { outcome: 'listed', acds, servers: serversOf(servers), removed },
  };
}

/** Shows how the ACDs stand on both servers. @throws CmsadmError administration-missing, acd-unreadable */
export function tellAcds({ host, profile, report }: CommandContext, servers: AcdServers): void {
  const acds = readAcds(host.root, profile);
  report.line(acds.length === 0 ? 'No ACD is defined.' : 'ACDs:');
  for (const acd of acds) {
    report.line(`  ${acdName(acd)}, release ${acd.release}${acd.master ? ', the master ACD' : ''}`);
    for (const server of serversOf(servers)) {
      if ('away' in server) continue;
      const here = server.here.acds.find(({ number }) => number === acd.number);
      report.line(`    ${server.name}: ${here ? acdLine(here) : 'does not know it yet'}`);
    }
  }
  for (const server of serversOf(servers))
    if ('away' in server) report.warn(`${server.name} can't be asked: ${server.away}`);
    else for (const one of server.here.toRemove) report.warn(`${server.name} has not removed its part of ${one} yet.`);
}
