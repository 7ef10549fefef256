import { locked } from '../change/lock.ts';
import type { Server as ServerVerbs } from '../change/server.ts';
import { CmsadmError, exitCodes } from '../errors.ts';
import type { BothFacts, SetupAnswers } from '../ha/answers.ts';
import type { Check } from '../ha/check.ts';
import type { Finding } from '../ha/preflight.ts';
import type { Session } from '../host/session.ts';
import type { Facts } from '../pair/facts.ts';
import type { Peer } from './contact.ts';
import type { CommandContext, CommandOutcome } from './context.ts';
import type { Asked } from './setup-answers.ts';
import type { Opened } from './setup-questions.ts';

/**
 * Facts of both, and how far the peer's clock is ahead: its reading against the middle of our waiting.
 * @param early this server's, if they were read while the peer was reached
 */
export async function bothFacts(
  context: CommandContext,
  local: ServerVerbs,
  peer: Peer,
  answers: Asked,
  early?: Facts | undefined,
): Promise<{ facts: BothFacts; clockOffset: number }> {
  const asked = context.host.system.clock();
  let answered = asked;
  const theirs = peer.server.facts({ address: answers.self.address, fqdn: answers.self.fqdn }).then((facts) => {
    answered = context.host.system.clock();
    return facts;
  });
  const [peerFacts, localFacts] = await Promise.all([
    theirs,
    early ?? local.facts({ address: answers.peer.address, fqdn: answers.peer.fqdn }),
  ]);
  const middle = (asked + answered) / 2;
  const doubt = (answered - asked) / 2;
  const difference = peerFacts.clock - middle;
  return {
    facts: { local: localFacts, peer: peerFacts },
    clockOffset: Math.sign(difference) * Math.max(0, Math.abs(difference) - doubt),
  };
}

/** Messages by which the line is measured. */
const MESSAGES = 5;

/** Milliseconds that a message takes to the peer and back while it has nothing else to do: the median of several. */
export async function latencyOf(session: Pick<Session, 'call'>): Promise<number> {
  const took: number[] = [];
  while (took.length < MESSAGES) {
    const began = performance.now();
    await session.call('ping');
    took.push(performance.now() - began);
  }
  return took.sort((a, b) => a - b)[Math.floor(MESSAGES / 2)] ?? 0;
}

/** Neither server may be linked with a third one. @throws CmsadmError third-server */
export function refuseOtherPairs(facts: BothFacts, answers: SetupAnswers): void {
  const isOf = (keys: readonly { base64: string }[], others: readonly { base64: string }[]): boolean =>
    keys.some((key) => others.some((other) => other.base64 === key.base64));
  const { link } = facts.local;
  if (link && !isOf(link.peer.hostKeys, facts.peer.hostKeys))
    throw new CmsadmError(
      'third-server',
      `${answers.peer.address} is a third server: this one is linked with ${link.peer.fqdn}.`,
      {
        server: answers.peer.address,
        remedy: 'A pair has two servers. To pair with another one, disable HA first: cmsadm config_HA disable.',
      },
    );
  const theirs = facts.peer.link;
  if (theirs && !isOf(theirs.peer.hostKeys, facts.local.hostKeys))
    throw new CmsadmError('third-server', `${answers.peer.fqdn} is linked with ${theirs.peer.fqdn} already.`, {
      server: answers.peer.fqdn,
      remedy: `Disable HA there first: cmsadm config_HA disable.`,
    });
}

/** What was looked at besides the facts: names, packages, who else is at it. */
export async function findings(
  opened: Opened,
  local: ServerVerbs,
  peer: Peer,
  facts: BothFacts,
  answers: SetupAnswers,
): Promise<Finding[]> {
  const standing = async (name: string, server: ServerVerbs): Promise<Finding> => {
    const { lock, unfinished } = await server.standing();
    if (lock)
      return {
        id: 'busy',
        server: name,
        ok: undefined,
        problem: locked(lock).message,
        remedy: 'Wait until that has ended.',
      };
    if (unfinished.length > 0)
      return {
        id: 'busy',
        server: name,
        ok: undefined,
        problem: `An earlier change is not settled: ${unfinished.join(', ')}.`,
        remedy: `Run \`cmsadm recover\` on ${name}.`,
      };
    return { id: 'busy', server: name, ok: 'Nobody else is changing this pair.' };
  };
  const named = facts.peer.identity.hostname.toLowerCase().split('.')[0] === answers.peer.hostname;
  return [
    named
      ? {
          id: 'name',
          server: answers.peer.fqdn,
          ok: `The server at ${answers.peer.address} calls itself ${facts.peer.identity.hostname}.`,
        }
      : {
          id: 'name',
          server: answers.peer.fqdn,
          ok: undefined,
          problem: `The server at ${answers.peer.address} calls itself ${facts.peer.identity.hostname}, not ${answers.peer.hostname}.`,
          remedy: 'Correct the address or the FQDN.',
        },
    ...packageFindings(opened, facts, answers),
    ...takeOverFinding(facts, answers),
    { id: 'licence', server: answers.self.fqdn, ok: opened.licence ?? '' },
    ...(await Promise.all([standing(answers.self.fqdn, local), standing(answers.peer.fqdn, peer.server)])),
  ];
}

// Administration that happened on the other server since it took over must not be overruled by a set up here.
function takeOverFinding({ local, peer }: BothFacts, answers: SetupAnswers): Finding[] {
  const theirs = peer.pair;
  if (!theirs || theirs.epoch <= (local.pair?.epoch ?? 0) || theirs.primary.address !== answers.peer.address) return [];
  return [
    {
      id: 'take-over',
      server: answers.peer.fqdn,
      ok: undefined,
      problem: `${answers.peer.fqdn} took over as primary at epoch ${theirs.epoch}.`,
      remedy: `Wait until admin-sync here has taken that over (20 s), then reverse on ${answers.peer.fqdn}.`,
    },
  ];
}

// The program that plans and the program that is carried to the peer must be the same.
function packageFindings({ package: haPackage }: Opened, facts: BothFacts, answers: SetupAnswers): Finding[] {
  if (!haPackage) throw new Error('the HA package was not opened');
  const { version, signer, digest } = haPackage;
  const server = answers.self.fqdn;
  const [here, there] = [facts.local.programDigest === digest, facts.peer.programDigest === digest];
  // Its 50 MB are hashed where they are for use; the signed manifest tells what is installed.
  if (!here || !there) haPackage.verify();
  return [
    here
      ? { id: 'program', server, ok: `This server runs the program of that package.` }
      : {
          id: 'program',
          server,
          ok: undefined,
          problem: `This server does not run the program of HA package ${version}.`,
          remedy: 'Install that package here first: unzip it and run ./install. Or give the package that is installed.',
        },
    {
      id: 'ha-package',
      server,
      ok:
        here && there
          ? `HA package ${version} is signed by ${signer}; both servers run it already.`
          : `HA package ${version} is whole, signed by ${signer}.`,
    },
  ];
}

/** The outcome of a preflight with failures: every check for a program, the failures for a person. */
export function refusedByPreflight(checks: readonly Check[], told: Record<string, unknown>): CommandOutcome {
  const error = new CmsadmError(
    'preflight-failed',
    'Preflight found what must be put right first; nothing was touched.',
    {
      details: checks
        .filter(({ level }) => level === 'fail')
        .map((check) => [`${check.server}: ${check.text}`, ...(check.details ?? [])].join(' ')),
      remedy: 'Put these right and run set up again.',
    },
  );
  return {
    exitCode: exitCodes.refused,
    summary: 'set up roles: refused by preflight, nothing was touched',
    result: { outcome: 'refused', ...told },
    error,
  };
}
