import { readAcds } from '../acd/definition.ts';
import { acdProfile } from '../acd/hooks.ts';
import type { AcdHere } from '../acd/standing.ts';
import { CmsadmError, exitCodes } from '../errors.ts';
import { type AcdServer, askAcdServers, serversOf } from './acd-servers.ts';
import type { CommandContext, CommandOutcome, Given } from './context.ts';
import { acdChoice } from './parameters.ts';

/**
 * `cmsadm acd_check`: calls the switch of every link from both servers, and compares its clock with theirs. Changes
 * nothing.
 * @returns exit code 5 where a link is faulty or a server can't be asked
 */
export async function acdCheck(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const { host, profile, report } = context;
  acdProfile(profile);
  const asked = given[acdChoice.only.name];
  const only = readAcds(host.root, profile).find(({ number }) => String(number) === asked)?.number;
  if (asked !== undefined && only === undefined)
    throw new CmsadmError('answers-refused', `There is no ACD ${JSON.stringify(asked)}.`, {
      remedy: 'cmsadm acd_list shows the ACDs.',
    });
  const servers = serversOf(await askAcdServers(context, { probes: true, ...(only === undefined ? {} : { only }) }));
  const faults: string[] = [];
  for (const server of servers) {
    faults.push(...faultsOf(server).map((fault) => `${server.name}: ${fault}`));
    report.line(server.name);
    if ('here' in server) for (const acd of server.here.acds) report.line(`  ${checkedLine(acd)}`);
  }
  const result = { outcome: faults.length === 0 ? 'good' : 'faulty', servers, faults };
  if (faults.length === 0) return { exitCode: exitCodes.done, summary: 'acd_check: every link answers', result };
  const error = new CmsadmError('acd-link-faulty', 'Not every link to an ACD is as it must be.', {
    exitCode: exitCodes.needsPerson,
    details: faults,
    remedy: 'Look at cable, addresses and firewall between each named server and its switch, and at the switch.',
  });
  return { exitCode: exitCodes.needsPerson, summary: `acd_check: ${faults.length} faults`, result, error };
}

function faultsOf(server: AcdServer): string[] {
  if ('away' in server) return [`it can't be asked: ${server.away}`];
  return server.here.acds.flatMap(({ number, checked }) =>
    (checked?.faults ?? []).map((fault) => `ACD ${number}: ${fault}`),
  );
}

function checkedLine({ number, name, checked }: AcdHere): string {
  const probes = (['main', 'survivable'] as const).flatMap((which) => {
    const one = checked?.[which];
    return one ? [`${which} ${one.host} port ${one.port} ${one.answers ? 'answers' : 'does not answer'}`] : [];
  });
  const seconds = checked?.clockSeconds;
  const clock = seconds === undefined ? [] : [`its clock differs by ${Math.abs(seconds)} s`];
  return [`ACD ${number}${name === undefined ? '' : ` (${name})`}`, ...probes, ...clock].join(', ');
}
