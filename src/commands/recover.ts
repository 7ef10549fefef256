import { backupRunning } from '../backup/running.ts';
import { takeAwayTheRest } from '../change/afterwards.ts';
import { unfinished } from '../change/journal.ts';
import { acknowledge, isOpen, type Recovered, recover, type Settled, settleAlone } from '../change/recover.ts';
import { CmsadmError, exitCodes } from '../errors.ts';
import type { Host } from '../host/system.ts';
import { readAlarms } from '../pair/alarms.ts';
import { type Link, readLink } from '../pair/state.ts';
import { eachWanted } from '../wanted/states.ts';
import { sameName } from './activate.ts';
import { settleBackups } from './backup-unblock.ts';
import type { CommandContext, CommandOutcome, Given } from './context.ts';
import { type ServersThere, serversThere } from './pair-of-servers.ts';
import { recoverParameters } from './parameters.ts';

/** What was found and done on one server, or why it was not asked. */
type Told = { readonly name: string } & ({ readonly found: Recovered } | { readonly away: CmsadmError });

/**
 * Settles what earlier runs left open on this server, then has the other one do the same; repeatable. The alarms of both
 * are shown, and cleared where nothing is open any more.
 */
export async function recoverCommand(context: CommandContext, given: Given = {}): Promise<CommandOutcome> {
  if (context.dryRun) return whatIsOpen(context);
  const outcome = await settleBoth(context, given);
  // Last: it may take away the program that runs this.
  try {
    await takeAwayTheRest(context.host);
    return outcome;
  } catch (error) {
    if (!(error instanceof CmsadmError)) throw error;
    return { ...outcome, exitCode: exitCodes.needsPerson, error: somethingStays(error) };
  }
}

const somethingStays = (cause: CmsadmError): CmsadmError =>
  new CmsadmError('link-remains', `What was open is settled, but something of the link is left: ${cause.message}`, {
    exitCode: exitCodes.needsPerson,
    details: cause.details,
    remedy: `${cause.remedy ?? 'Remove the cause.'} Then run \`cmsadm recover\` again.`,
    cause,
  });

async function settleBoth(context: CommandContext, given: Given): Promise<CommandOutcome> {
  const { host } = context;
  await settleRestores(context);
  refuseStranger(host, given[recoverParameters.peerGone.name]);
  const first = await recover(host, undefined, 'operator');
  const there = await serversThere(context).catch(withoutLink);
  try {
    const other = await recoverThere(there);
    const settled = await settleTheRest(context, given, first, there);
    const here = { name: there.servers[0]?.name ?? '', found: { settled, alarms: readAlarms(host.root) } };
    const told: readonly Told[] = other ? [here, other] : [here];
    for (const one of told) tell(context, one);
    await standAsWanted(context);
    // Shown, so seen; what comes from now on stays.
    acknowledge(host, settled, here.found.alarms);
    if (other && 'found' in other && other.found.alarms.length > 0)
      await there.peer?.server.recover({ seen: other.found.alarms });
    return outcomeOf(told);
  } finally {
    there.peer?.session.close();
  }
}

/** A restore that died over this server, or over a root that is mounted here, is as good as a change left open. */
async function settleRestores({ host, report, operator }: CommandContext): Promise<void> {
  if (backupRunning(host)) return;
  try {
    for (const line of (await settleBackups(host, operator)) ?? []) report.line(`Backup and restore: ${line}.`);
  } catch (error) {
    // It keeps nobody from settling the pair.
    if (!(error instanceof CmsadmError)) throw error;
    for (const text of [error.message, ...error.details, error.remedy ?? '']) if (text !== '') report.warn(text);
  }
}

/** Where a link tells the peer's name, no other one is taken. @throws CmsadmError answer-refused */
function refuseStranger({ root }: Host, gone: string | undefined): void {
  if (gone === undefined) return;
  let link: Link | undefined;
  try {
    link = readLink(root);
  } catch (error) {
    if (!(error instanceof CmsadmError)) throw error; // that keeps nobody from settling
  }
  if (link) sameName(gone, link.peer.fqdn);
}

/** A run that died may have written what is wanted and not made it so. */
async function standAsWanted({ host, profile, report }: CommandContext): Promise<void> {
  for (const { name, lines, failed } of await eachWanted('apply', host, profile)) {
    for (const line of lines) report.line(`${name}: ${line}`);
    if (failed !== undefined) report.warn(`${name}: ${failed}`);
  }
}

/** A link that can't be read keeps nobody from settling this server. */
function withoutLink(error: unknown): ServersThere {
  if (!(error instanceof CmsadmError)) throw error;
  return { servers: [], link: undefined, peer: undefined, away: error };
}

async function recoverThere({ link, peer, away }: ServersThere): Promise<Told | undefined> {
  const name = link?.peer.fqdn ?? 'the other server';
  if (!peer) return away && { name, away };
  try {
    return { name, found: await peer.server.recover({ seen: [] }) };
  } catch (error) {
    if (error instanceof CmsadmError) return { name, away: error };
    throw error;
  }
}

/** What had to wait: the other server may have been settled by now, or is gone for good by the operator's word. */
async function settleTheRest(
  { host }: CommandContext,
  given: Given,
  first: readonly Settled[],
  { away }: ServersThere,
): Promise<readonly Settled[]> {
  const waiting = first.filter(({ did }) => did === 'waits');
  if (waiting.length === 0) return first;
  const gone = given[recoverParameters.peerGone.name];
  if (gone !== undefined && !away)
    throw new CmsadmError('peer-answers', `${gone} answers; it tells what it decided.`, {
      server: gone,
      remedy: 'Run `cmsadm recover` without --peer-gone.',
    });
  const now: Settled[] = [];
  for (const { id } of waiting)
    now.push(...(gone === undefined ? await recover(host, id, 'operator') : [await settleAlone(host, id, gone)]));
  return first.map((one) => now.find(({ id }) => id === one.id) ?? one);
}

function tell({ report }: CommandContext, one: Told): void {
  if ('away' in one) {
    report.warn(`${one.name} was not settled from here: ${one.away.message}`);
    report.warn(`Run \`cmsadm recover\` there, or here again when it can be reached.`);
    return;
  }
  const { settled, alarms } = one.found;
  if (settled.length === 0) report.line(`${one.name}: nothing was left open.`);
  for (const { id, did, why, toDo } of settled) {
    report.line(`${one.name}: ${id}: ${did}: ${why}.`);
    for (const next of toDo) report.warn(`${one.name}: ${next}`);
  }
  for (const { at, text } of alarms) report.line(`${one.name}: seen: ${at} ${text}`);
}

function outcomeOf(told: readonly Told[]): CommandOutcome {
  const found = told.flatMap((one) => ('found' in one ? one.found.settled : []));
  // A server that nobody asked matters where there was something to settle.
  const open = found.some(isOpen) || (found.length > 0 && told.some((one) => 'away' in one));
  const servers = told.map((one) =>
    'found' in one
      ? { name: one.name, reachable: true, ...one.found }
      : { name: one.name, reachable: false, why: one.away.message },
  );
  const one = told[0];
  return {
    exitCode: open ? exitCodes.needsPerson : exitCodes.done,
    summary: `recover: ${found.length === 0 ? 'nothing open' : found.map(({ id, did }) => `${id} ${did}`).join(', ')}`,
    result: { outcome: open ? 'open' : 'done', settled: one && 'found' in one ? one.found.settled : [], servers },
  };
}

/** `--dry-run`: what is open on this server, untouched. */
function whatIsOpen({ host, report }: CommandContext): CommandOutcome {
  const open = unfinished(host.root);
  for (const id of open) report.line(`Not settled on this server: ${id}`);
  if (open.length === 0) report.line('Nothing is open on this server.');
  return {
    exitCode: open.length === 0 ? exitCodes.done : exitCodes.pending,
    summary: `recover: dry run, ${open.length} open`,
    result: { outcome: open.length === 0 ? 'nothing to do' : 'pending', open },
  };
}
