import { type Change, isEmpty, noServices, nothingAfterwards } from '../change/change.ts';
import { runAlone, runChange, withLocks } from '../change/coordinator.ts';
import type { Side } from '../change/run-failed.ts';
import type { Server as Verbs } from '../change/server.ts';
import { CmsadmError, exitCodes } from '../errors.ts';
import type { Run } from '../ha/answers.ts';
import { attemptFile, type FileProblem } from '../ha/file-changes.ts';
import { type Review, reviewServer } from '../ha/review.ts';
import { administeredFact } from '../pair/administered.ts';
import type { ManagedFact } from '../pair/facts.ts';
import { familyOf } from '../pair/facts.ts';
import { during } from '../report.ts';
import { requireAuthority } from './allowed-here.ts';
import { type Basis, refuseIfOther } from './basis.ts';
import { linkedPeer, type Peer } from './contact.ts';
import { type CommandContext, type CommandOutcome, confirmed, declined, requireSomebody } from './context.ts';
import { factsOfBoth, linksOf, onlyThis, ownStanding } from './pair-of-servers.ts';
import { lockPlace, refuseIfBusy, resultOf, reviewFacts, runOf } from './run-plan.ts';
import { settleFirst } from './settle-first.ts';

/** A file below the administration folder or, for what belongs to one server alone, below /var/lib/cmsadm/own. */
export type AdministeredFile = {
  readonly path: string;
  /** Latin1 text, one character for each byte; null: the file goes away. */
  readonly content: string | null;
  /** Of a file that is made anew; 0644, and 0600 for what belongs to one server. */
  readonly mode?: number;
  /** Never shown. */
  readonly secret?: boolean;
};

/** A change of what is administered, as a command plans it. */
export type AdministrativePlan = {
  /** As log, journal and review name it: `define ACD 3`. */
  readonly operation: string;
  readonly files: readonly AdministeredFile[];
  readonly notes: readonly string[];
  /** Shown last before the question. */
  readonly warning?: string;
  /** Makes this server stand as the files want it; may be repeated. @returns lines for the result */
  readonly afterwards?: () => Promise<readonly string[]>;
  /** Further facts for `--json`. */
  readonly result?: Readonly<Record<string, unknown>>;
  /** Where the files' content was computed from what stood there before the questions. */
  readonly basis?: Basis;
  /** Files of the other server, changed in the same transaction. */
  readonly peerFiles?: readonly AdministeredFile[];
};

/** One server's part. */
type Part = {
  readonly name: string;
  readonly address: string;
  readonly facts: readonly ManagedFact[];
  readonly change: Change;
};

/**
 * Shows a change of what is administered, asks, and carries it out as a transaction: on this server, or on both where the
 * plan has files of the other one. What admin-sync carries is not waited for.
 * @throws CmsadmError file-refused, locked, unfinished, not-authority, plan-changed, those of the transaction
 */
export async function administer(context: CommandContext, plan: AdministrativePlan): Promise<CommandOutcome> {
  requireSomebody(context);
  await settleFirst(context);
  if ((plan.peerFiles ?? []).length > 0) return administerBoth(context, plan);
  const { servers, link } = await onlyThis(context);
  const [own] = servers;
  if (!own) throw new Error('this server is none of the servers');
  await refuseIfBusy(own.server, own.name);
  const run = runOf(context);
  const facts = localFacts(context, plan.files);
  const part = partOf(
    context,
    run,
    plan.operation,
    { name: own.name, address: link?.self.address ?? 'this server' },
    facts,
    plan.files,
  );
  return carryOut(context, plan, [part], (standSo) =>
    withLocks([{ ...own, fingerprint: own.name }], claimOf(context, plan, own.name), async () => {
      await refuseIfOvertaken(context, plan);
      await runAlone(sideOf(own.server, part), context.report, context.stop);
      return standSo();
    }),
  );
}

async function administerBoth(context: CommandContext, plan: AdministrativePlan): Promise<CommandOutcome> {
  const own = await ownStanding(context);
  const peer = await linkedPeer(context, own.link);
  try {
    const facts = await during(context.report, 'Reading the facts of both servers', () => factsOfBoth(own, peer));
    const names = { local: own.link.self.fqdn, peer: own.other.fqdn };
    await refuseIfBusy(own.local, names.local);
    await refuseIfBusy(peer.server, names.peer);
    const peerFiles = plan.peerFiles ?? [];
    const theirs = await factsThere(peer, peerFiles);
    const run = runOf(context);
    const { self } = own.link;
    const local = partOf(
      context,
      run,
      plan.operation,
      { name: names.local, address: self.address },
      localFacts(context, plan.files),
      plan.files,
    );
    const other = partOf(
      context,
      run,
      plan.operation,
      { name: names.peer, address: own.other.address },
      theirs,
      peerFiles,
    );
    const places = [lockPlace(names.local, own.local, facts.local), lockPlace(names.peer, peer.server, facts.peer)];
    const sides = { local: sideOf(own.local, local), peer: sideOf(peer.server, other) };
    return await carryOut(context, plan, [local, other], (standSo) =>
      withLocks(places, claimOf(context, plan, names.local), async () => {
        await refuseIfOvertaken(context, plan);
        await runChange(sides, linksOf(facts), context.report, context.stop);
        return standSo();
      }),
    );
  } finally {
    peer.session.close();
  }
}

/** Under the lock. @throws CmsadmError not-authority after a reversal, plan-changed */
async function refuseIfOvertaken({ host }: CommandContext, { operation, basis }: AdministrativePlan): Promise<void> {
  requireAuthority(host, operation);
  if (basis) await refuseIfOther(basis, operation);
}

const claimOf = ({ operator }: CommandContext, { operation }: AdministrativePlan, startedOn: string) => ({
  operation,
  operator,
  startedOn,
});
const sideOf = (server: Verbs, { name, change }: Part): Side => ({ name, server, change });

const localFacts = ({ host, profile }: CommandContext, files: readonly AdministeredFile[]): ManagedFact[] =>
  files.map((file) => administeredFact(host.root, profile, file));

/** What the other server tells of them; mode and secrecy are the plan's. */
async function factsThere({ server }: Peer, files: readonly AdministeredFile[]): Promise<ManagedFact[]> {
  const facts = await server.administered({ paths: files.map(({ path }) => path) });
  return facts.map((fact, index) => {
    const { mode = fact.row.mode, secret = false } = files[index] ?? {};
    return { ...fact, row: { ...fact.row, mode, secret } };
  });
}

/** @throws CmsadmError file-refused, with everything that is wrong with the files */
function partOf(
  { profile }: CommandContext,
  { tag, operator }: Run,
  operation: string,
  { name, address }: { readonly name: string; readonly address: string },
  facts: readonly ManagedFact[],
  files: readonly AdministeredFile[],
): Part {
  const problems: FileProblem[] = [];
  const changes = facts.flatMap((fact, index) => {
    const content = files[index]?.content ?? undefined;
    return attemptFile(fact, () => content, problems) ?? [];
  });
  const [first] = problems;
  if (first)
    throw new CmsadmError('file-refused', `${operation}: ${first.text}`, {
      server: name,
      file: first.path,
      details: problems.slice(1).map(({ text }) => text),
      remedy: first.remedy,
    });
  const change: Change = {
    tag,
    step: 'administration',
    operation,
    operator,
    server: name,
    files: changes,
    services: noServices,
    epoch: null,
    confirmSeconds: profile.confirmSeconds,
    sshWatch: null,
    afterwards: nothingAfterwards,
  };
  return { name, address, facts, change };
}

async function carryOut(
  context: CommandContext,
  plan: AdministrativePlan,
  parts: readonly Part[],
  run: (standSo: () => Promise<readonly string[]>) => Promise<readonly string[]>,
): Promise<CommandOutcome> {
  const { operation } = plan;
  const { report } = context;
  const tag = parts[0]?.change.tag ?? '';
  if (parts.every(({ change }) => isEmpty(change))) {
    const told = context.dryRun ? [] : await afterwards(context, plan);
    report.line(`Nothing is to be changed: ${operation}.`);
    for (const line of told) report.line(line);
    return {
      exitCode: exitCodes.done,
      summary: `${operation}: nothing to do`,
      result: { ...plan.result, outcome: 'nothing' },
    };
  }
  const review = reviewOf(context, plan, parts, tag);
  report.show({ kind: 'review', review });
  const files = parts.flatMap(({ name, change }) =>
    change.files.map(({ path, before, after }) => ({
      ...{ server: name, path },
      what: after === null ? 'removed' : before === null ? 'created' : 'changed',
    })),
  );
  const warnings = plan.warning === undefined ? [] : [plan.warning];
  for (const text of warnings) report.warn(text);
  if (context.dryRun)
    return {
      exitCode: exitCodes.pending,
      summary: `${operation}: dry run, changes pending`,
      result: { ...plan.result, outcome: 'pending', files, warnings, review: reviewFacts(review) },
    };
  if (!(await confirmed(context, () => report.show({ kind: 'diff', review })))) return declined(context, operation);
  // Under the lock: who interrupts waits until this server stands as it was decided.
  const verified = await run(() => afterwards(context, plan));
  const servers = parts.map(({ name, change }, index) =>
    resultOf(name, undefined, [change], index === 0 ? verified : []),
  );
  report.show({ kind: 'result', title: `Done: ${operation}.`, servers, notes: [] });
  return {
    exitCode: exitCodes.done,
    summary: `${operation}: done, tag ${tag}`,
    result: { ...plan.result, outcome: 'done', tag, files, warnings, verified },
  };
}

const afterwards = async ({ report }: CommandContext, plan: AdministrativePlan): Promise<readonly string[]> =>
  plan.afterwards ? during(report, 'Making this server stand so', plan.afterwards) : [];

function reviewOf(context: CommandContext, plan: AdministrativePlan, parts: readonly Part[], tag: string): Review {
  const family = familyOf(context.host);
  return {
    operation: plan.operation,
    tag,
    servers: parts.map(({ name, address, facts, change }) =>
      reviewServer(
        { name, address, becomes: 'administered anew' },
        { files: facts, family, units: {} },
        [change],
        context.profile,
      ),
    ),
    notes: plan.notes,
  };
}
