import { type Ended, GRACE_SECONDS, type Holder } from '../change/end-owner.ts';
import { CmsadmError, exitCodes } from '../errors.ts';
import { during } from '../report.ts';
import {
  type CommandContext,
  type CommandOutcome,
  confirmed,
  declined,
  type Given,
  requireSomebody,
  settleAnswers,
} from './context.ts';
import { type Named, serversThere } from './pair-of-servers.ts';
import { operationParameter } from './parameters.ts';

type Held = Named & { readonly holder: Holder };

/**
 * Ends an operation that hangs, named by the operator, on this server and, over the link, on the other one. Its process
 * is ended, never its lock alone: what it could still do while another one works nobody could undo.
 */
export async function unlock(context: CommandContext, given: Given): Promise<CommandOutcome> {
  requireSomebody(context);
  const { servers, peer, away } = await serversThere(context);
  try {
    if (away) context.report.warn(away.message);
    const standings = await Promise.all(servers.map(({ server }) => server.standing()));
    const held = servers.flatMap((one, i): Held[] => {
      const holder = standings[i]?.lock;
      return holder ? [{ ...one, holder }] : [];
    });
    for (const one of held) context.report.line(tell(one));
    if (held.length === 0) return await nothingHeld(context, servers);
    const { [operationParameter.name]: operation = '' } = await settleAnswers(
      [{ parameter: operationParameter, check: (text) => goingOn(text, held) }],
      given,
      context,
    );
    // Where it was started it can put both servers back; so that process goes first.
    const ends = held
      .filter(({ holder }) => holder.operation === operation)
      .sort((a, b) => Number(isStarter(b)) - Number(isStarter(a)));
    for (const line of whatFollows(ends)) context.report.line(line);
    if (context.dryRun)
      return {
        exitCode: exitCodes.pending,
        summary: `unlock ${operation}: dry run`,
        result: { outcome: 'pending', held: holders(ends) },
      };
    if (!(await confirmed(context))) return declined(context, `unlock ${operation}`);
    return await endAll(context, operation, ends, servers);
  } finally {
    peer?.session.close();
  }
}

const isStarter = ({ name, holder }: Held): boolean => holder.startedOn === name;

const holders = (held: readonly Held[]): unknown => held.map(({ name, holder }) => ({ server: name, ...holder }));

const doing: Readonly<Record<string, string>> = {
  running: 'is running',
  stopped: 'is stopped',
  waiting: 'waits in the kernel',
};

const tell = ({ name, holder }: Held): string =>
  `${name}: ${holder.operator} is changing this pair: ${holder.operation}, since ${holder.since}, from ${holder.startedOn}; process ${holder.pid} ${doing[holder.process] ?? 'is there'}.`;

function goingOn(text: string, held: readonly Held[]): string {
  const found = held.find(({ holder }) => holder.operation === text.trim());
  if (found) return found.holder.operation;
  throw new CmsadmError('lock-differs', `${JSON.stringify(text)} is not what is going on.`, {
    remedy: `Give the operation as it is told: ${[...new Set(held.map(({ holder }) => holder.operation))].join(', ')}.`,
  });
}

const whatFollows = (ends: readonly Held[]): string[] => [
  ...(ends.some(({ holder }) => holder.process === 'running')
    ? [
        'It runs: it may only need its time. Its process is asked to leave; where it still can, it puts both servers back.',
      ]
    : []),
  `A process that is still there after ${GRACE_SECONDS} s, or is stopped, is killed. What it had begun and not settled is then put back, or finished, by \`cmsadm recover\` on both servers.`,
];

async function nothingHeld(context: CommandContext, servers: readonly Named[]): Promise<CommandOutcome> {
  context.report.line('Nobody is changing this pair: no lock is held.');
  return { ...(await openOn(context, servers)), summary: 'unlock: nothing is locked' };
}

async function endAll(
  context: CommandContext,
  operation: string,
  ends: readonly Held[],
  servers: readonly Named[],
): Promise<CommandOutcome> {
  const ended: { server: string; pid: number; ended: Ended }[] = [];
  for (const { name, server, holder } of ends)
    ended.push({
      ...{ server: name, pid: holder.pid },
      ended: await during(context.report, `Ending ${operation} on ${name}`, () => server.endOwner({ seen: holder })),
    });
  for (const one of ended) context.report.line(`${one.server}: process ${one.pid} ${how[one.ended]}.`);
  const { exitCode, result } = await openOn(context, servers);
  return {
    exitCode,
    summary: `unlock ${operation}: ${ended.map((one) => `${one.server} ${one.ended}`).join(', ')}`,
    result: { ...result, ended },
  };
}

const how: Readonly<Record<Ended, string>> = {
  gone: 'had gone by itself',
  left: 'left in order',
  killed: 'was killed',
};

/** What the operation left behind, and who settles it. */
async function openOn(
  { report }: CommandContext,
  servers: readonly Named[],
): Promise<Pick<CommandOutcome, 'exitCode' | 'result'>> {
  const unfinished: { server: string; id: string }[] = [];
  for (const { name, server } of servers)
    for (const id of (await server.standing()).unfinished) unfinished.push({ server: name, id });
  for (const { server, id } of unfinished)
    report.warn(`${server}: ${id} is not settled: run \`cmsadm recover\` there.`);
  return unfinished.length > 0
    ? { exitCode: exitCodes.needsPerson, result: { outcome: 'open', unfinished } }
    : { exitCode: exitCodes.done, result: { outcome: 'done', unfinished } };
}
