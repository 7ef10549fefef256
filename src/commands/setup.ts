import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Change, isEmpty } from '../change/change.ts';
import { runChange, runLink, type Sides, withLocks } from '../change/coordinator.ts';
import { localServer, type Server as ServerVerbs } from '../change/server.ts';
import { afterTheDecision, CmsadmError, exitCodes } from '../errors.ts';
import { type BothFacts, hostnameOf, type SetupAnswers, type UnitTexts } from '../ha/answers.ts';
import { ownFqdn } from '../ha/own-name.ts';
import { type Check, type Finding, failed, preflight, toConfirm } from '../ha/preflight.ts';
import { type Review, reviewServer } from '../ha/review.ts';
import { planSetup, type SetupInputs, type SetupPlan } from '../ha/setup.ts';
import { readText } from '../host/root.ts';
import { fileOf, readFacts } from '../pair/facts.ts';
import { paths } from '../pair/state.ts';
import { during } from '../report.ts';
import { checkAddress, checkFqdn } from './checks.ts';
import { linkedPeer, missingForContact, type Peer, reachPeer } from './contact.ts';
import {
  type CommandContext,
  type CommandOutcome,
  confirmed,
  declined,
  type Given,
  requireSomebody,
  settleAnswers,
  usage,
} from './context.ts';
import { overrideParameters, setupParameters } from './parameters.ts';
import { lockPlace, resultOf, runOf } from './run-plan.ts';
import { type Opened, setupSlots } from './setup-questions.ts';

/** Everything that is known when the operator is asked for his `y`. */
type Prepared = {
  readonly local: ServerVerbs;
  readonly peer: Peer;
  readonly facts: BothFacts;
  readonly answers: SetupAnswers;
  readonly inputs: SetupInputs;
  readonly plan: SetupPlan;
};

/**
 * Set up the roles: this server becomes the primary, the named one the secondary.
 * Source: seeds, "Setting up the primary and secondary server roles".
 */
export async function setUp(context: CommandContext, given: Given): Promise<CommandOutcome> {
  if (given[overrideParameters.jumpHost.name] !== undefined)
    throw usage(
      'A jump host is refused.',
      'Let the two servers reach each other directly: admin-sync and the heartbeat go straight from one to the other.',
    );
  requireSomebody(context);
  const opened: Opened = { package: undefined, licence: undefined };
  const local = await localContextServer(context);
  const answers = await askAnswers(context, given, opened);
  const haPackage = opened.package;
  if (!haPackage) throw new Error('the HA package was not opened');
  const ownLink = (await local.facts({ address: answers.peer.address, fqdn: answers.peer.fqdn })).link;
  const peer = await reachPeer(context, given, answers.peer, ownLink, haPackage);
  try {
    return await withPeer(context, given, opened, local, peer, answers);
  } finally {
    peer.session.close();
  }
}

async function withPeer(
  context: CommandContext,
  given: Given,
  opened: Opened,
  local: ServerVerbs,
  peer: Peer,
  first: SetupAnswers,
): Promise<CommandOutcome> {
  const { report, profile } = context;
  if (!peer.linked) await offerSettings(context, peer);
  let answers = first;
  const { facts, clockOffset } = await during(report, 'Reading the facts of both servers', () =>
    bothFacts(context, local, peer, answers),
  );
  answers = await withTimeZones(context, given, facts, {
    ...answers,
    peerPort: peer.port,
    selfPort: facts.local.sshPort,
  });
  refuseOtherPairs(facts, answers);
  const inputs: SetupInputs = {
    profile,
    run: runOf(context),
    units: unitTexts(context.host.programRoot),
    keys: { local: facts.local.pairKey, peer: facts.peer.pairKey },
    settings: peer.linked ? undefined : settingsOf(context),
    bringsProgram: peer.carried,
  };
  const plan = planSetup(facts, answers, inputs);
  const checks = preflight({
    facts,
    answers,
    profile,
    clockOffset,
    problems: plan.problems,
    findings: await findings(opened, local, peer, facts, answers),
  });
  report.show({ kind: 'preflight', checks, toConfirm });
  const review = reviewOf(context, facts, plan, answers);
  const told = { preflight: checks, toConfirm, review: reviewFacts(review) };
  if (failed(checks)) return refusedByPreflight(checks, told);
  if ([plan.link, plan.change].every((step) => isEmpty(step.local) && isEmpty(step.peer))) {
    report.line('The pair is set up as asked: nothing to do.');
    return {
      exitCode: exitCodes.done,
      summary: 'set up roles: nothing to do',
      result: { outcome: 'nothing to do', ...told },
    };
  }
  report.show({ kind: 'review', review });
  if (context.dryRun)
    return {
      exitCode: exitCodes.pending,
      summary: 'set up roles: dry run, changes pending',
      result: { outcome: 'pending', ...told },
    };
  if (!(await confirmed(context, () => report.show({ kind: 'diff', review }))))
    return declined(context, 'set up roles');
  return carryOut(context, { local, peer, facts, answers, inputs, plan }, told);
}

function refusedByPreflight(checks: readonly Check[], told: Record<string, unknown>): CommandOutcome {
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

/** The local server's verbs; needs the family first. */
export async function localContextServer(context: CommandContext): Promise<ServerVerbs> {
  const { osFamily } = await context.host.system.identity();
  return localServer({
    host: context.host,
    profile: context.profile,
    family: osFamily === 'other' ? 'debian' : osFamily,
    carriedIn: undefined,
  });
}

async function askAnswers(context: CommandContext, given: Given, opened: Opened): Promise<SetupAnswers> {
  const { host, profile } = context;
  const facts = await readFacts(host, profile, { address: '192.0.2.1', fqdn: '' });
  const saved = facts.pair;
  if (saved && facts.link && saved.primary.address !== facts.link.self.address)
    throw notPrimary('set up the roles', saved.primary.fqdn);
  const hosts = readText(host.root, '/etc/hosts') ?? '';
  const own = {
    addresses: facts.addresses.map(({ address }) => address),
    fqdn: ownFqdn(hosts, facts.routeSource, facts.identity.hostname),
  };
  const settled = await settleAnswers(
    setupSlots(profile, host.root, saved, own, new Date(host.system.clock()), opened),
    given,
    context,
    facts.link || context.ask ? [] : missingForContact(host.root, given),
  );
  const secondary = settled[setupParameters.secondaryIp.name] ?? '';
  const peerFqdn = settled[setupParameters.secondaryFqdn.name] ?? '';
  const givenIp = given[overrideParameters.primaryIp.name];
  const selfIp =
    givenIp === undefined
      ? (facts.link?.self.address ?? (await host.system.routeSource(secondary)))
      : checkAddress(givenIp);
  if (selfIp === undefined)
    throw new CmsadmError('no-route', `This server has no route to ${secondary}.`, {
      server: secondary,
      remedy: `Check the address and the routing table (\`ip route get ${secondary}\`).`,
    });
  const givenFqdn = given[overrideParameters.primaryFqdn.name];
  const selfFqdn =
    givenFqdn === undefined
      ? (facts.link?.self.fqdn ?? ownFqdn(hosts, selfIp, facts.identity.hostname))
      : checkFqdn(givenFqdn);
  if (selfFqdn === undefined)
    throw new CmsadmError('no-fqdn', 'This server’s /etc/hosts tells no FQDN for it.', {
      file: '/etc/hosts',
      remedy: `Add "${selfIp} FQDN HOSTNAME" there, or give --primary-fqdn.`,
    });
  const ntp = settled[setupParameters.ntpServer.name] ?? '';
  return {
    ntpServer: ntp === '' ? null : ntp,
    self: { address: selfIp, fqdn: selfFqdn, hostname: hostnameOf(selfFqdn) },
    selfPort: facts.sshPort,
    peer: { address: secondary, fqdn: peerFqdn, hostname: hostnameOf(peerFqdn) },
    peerPort: facts.link?.peer.port ?? 22,
    rhosts: given[overrideParameters.noRhosts.name] === undefined && profile.rhostsUser !== undefined,
    licencePackage: settled[setupParameters.licencePackage.name] ?? '',
    haPackage: settled[setupParameters.haPackage.name] ?? '',
  };
}

export const notPrimary = (what: string, primary: string): CmsadmError =>
  new CmsadmError('not-primary', `This server is the secondary; only the primary may ${what}.`, {
    remedy: `Log in to ${primary} and run it there.`,
  });

/** Facts of both, and how far the peer's clock is ahead: its reading against the middle of our waiting. */
async function bothFacts(
  context: CommandContext,
  local: ServerVerbs,
  peer: Peer,
  answers: SetupAnswers,
): Promise<{ facts: BothFacts; clockOffset: number }> {
  const asked = context.host.system.clock();
  let answered = asked;
  const theirs = peer.server.facts({ address: answers.self.address, fqdn: answers.self.fqdn }).then((facts) => {
    answered = context.host.system.clock();
    return facts;
  });
  const [peerFacts, localFacts] = await Promise.all([
    theirs,
    local.facts({ address: answers.peer.address, fqdn: answers.peer.fqdn }),
  ]);
  const middle = (asked + answered) / 2;
  const doubt = (answered - asked) / 2;
  const difference = peerFacts.clock - middle;
  return {
    facts: { local: localFacts, peer: peerFacts },
    clockOffset: Math.sign(difference) * Math.max(0, Math.abs(difference) - doubt),
  };
}

// Only now are the time zones known; the first question may have been answered without knowing.
async function withTimeZones(
  context: CommandContext,
  given: Given,
  facts: BothFacts,
  answers: SetupAnswers,
): Promise<SetupAnswers> {
  const [here, there] = [facts.local.identity.timeZone, facts.peer.identity.timeZone];
  if (
    here === there ||
    answers.ntpServer !== null ||
    !context.ask ||
    given[setupParameters.ntpServer.name] !== undefined
  )
    return answers;
  context.report.warn(`The servers are in different time zones: ${here} here, ${there} on ${answers.peer.fqdn}.`);
  const text = await context.ask.text({
    text: setupParameters.ntpServer.question,
    preset: '',
    check: (value) => (value === '' ? '' : checkAddress(value)),
  });
  context.log.choice(`${setupParameters.ntpServer.name}=${text}`);
  return { ...answers, ntpServer: text === '' ? null : text };
}

function refuseOtherPairs(facts: BothFacts, answers: SetupAnswers): void {
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

export const unitTexts = (programRoot: string): UnitTexts => ({
  agent: readFileSync(join(programRoot, 'templates/cmsadm-agent.service'), 'latin1'),
  recover: readFileSync(join(programRoot, 'templates/cmsadm-recover.service'), 'latin1'),
});

/** What a peer without settings gets, so that both run the same profile. */
const settingsOf = ({ host, profile }: CommandContext): { settings: string; profile: string | undefined } => ({
  settings: readText(host.root, paths.settings) ?? `profile: ${profile.name}\n`,
  profile: readText(host.root, `${paths.siteProfiles}/${profile.name}.yaml`),
});

async function offerSettings(context: CommandContext, peer: Peer): Promise<void> {
  await peer.session.call('useProfile', { profile: context.profile });
}

async function findings(
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
        problem: `${lock.operator} is changing this pair (${lock.operation}, since ${lock.since}).`,
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
  const { package: haPackage } = opened;
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
    packageFinding(opened, facts, answers),
    {
      id: 'ha-package',
      server: answers.self.fqdn,
      ok: `HA package ${haPackage?.version} is whole, signed by ${haPackage?.signer}.`,
    },
    { id: 'licence', server: answers.self.fqdn, ok: opened.licence ?? '' },
    ...(await Promise.all([standing(answers.self.fqdn, local), standing(answers.peer.fqdn, peer.server)])),
  ];
}

// The program that plans and the program that is carried to the peer must be the same.
function packageFinding({ package: haPackage }: Opened, facts: BothFacts, answers: SetupAnswers): Finding {
  const same = { id: 'program', server: answers.self.fqdn };
  return facts.local.programDigest === haPackage?.digest
    ? { ...same, ok: `This server runs the program of that package.` }
    : {
        ...same,
        ok: undefined,
        problem: `This server does not run the program of HA package ${haPackage?.version}.`,
        remedy: 'Install that package here first: unzip it and run ./install. Or give the package that is installed.',
      };
}

function reviewOf(context: CommandContext, facts: BothFacts, plan: SetupPlan, answers: SetupAnswers): Review {
  const side = (who: SetupAnswers['self'], becomes: string, ownFacts: BothFacts['local'], changes: readonly Change[]) =>
    reviewServer({ name: who.fqdn, address: who.address, becomes }, ownFacts, changes, context.profile);
  return {
    operation: 'set up roles',
    tag: plan.change.local.tag,
    servers: [
      side(answers.self, 'primary', facts.local, [plan.link.local, plan.change.local]),
      side(answers.peer, 'secondary', facts.peer, [plan.link.peer, plan.change.peer]),
    ],
    notes: answers.ntpServer === null ? [] : [`Time comes from ${answers.ntpServer} too.`],
  };
}

// JSON tells what happens to which file; contents are for the screen only.
export const reviewFacts = (review: Review): unknown => ({
  ...review,
  servers: review.servers.map((server) => ({
    ...server,
    files: server.files.map(({ path, what }) => ({ path, what })),
  })),
});

async function carryOut(
  context: CommandContext,
  prepared: Prepared,
  told: Record<string, unknown>,
): Promise<CommandOutcome> {
  const { plan, answers } = prepared;
  const linked =
    isEmpty(plan.link.local) && isEmpty(plan.link.peer) && prepared.peer.linked
      ? prepared
      : await makeLink(context, prepared);
  try {
    const { local, peer, facts } = linked;
    const reviewed = contentsOf(plan);
    if (contentsOf(linked.plan) !== reviewed)
      throw new CmsadmError(
        'plan-changed',
        'A file was changed while the link was made; nothing but the link was touched.',
        { remedy: 'Run set up again: it shows the new plan.' },
      );
    const places = [
      lockPlace(answers.self.fqdn, local, facts.local),
      lockPlace(answers.peer.fqdn, peer.server, facts.peer),
    ];
    const claim = { operation: 'set up roles', operator: context.operator, startedOn: answers.self.fqdn };
    const unjudged = await withLocks(places, claim, () =>
      runChange(sidesOf(linked, linked.plan.change), linked.plan.links, context.report, context.stop),
    );
    return await afterTheDecision('The change is confirmed, but could not be verified', () =>
      finish(context, linked, plan.link, unjudged, told),
    );
  } finally {
    if (linked !== prepared) linked.peer.session.close();
  }
}

const sidesOf = ({ local, peer, answers }: Prepared, step: SetupPlan['change']): Sides => ({
  local: { name: answers.self.fqdn, server: local, change: step.local },
  peer: { name: answers.peer.fqdn, server: peer.server, change: step.peer },
});

/** The change as it was reviewed, without what only the link could tell. */
const contentsOf = ({ change }: SetupPlan): string =>
  JSON.stringify(
    [change.local, change.peer].map(({ files }) =>
      files.map(({ path, before, after }) => [path, before, after?.content]),
    ),
  );

/** Makes the link, then meets the peer again over it and plans with the facts as they are now. */
async function makeLink(context: CommandContext, prepared: Prepared): Promise<Prepared> {
  const { local, peer, facts, answers, inputs } = prepared;
  const places = [
    lockPlace(answers.self.fqdn, local, facts.local),
    lockPlace(answers.peer.fqdn, peer.server, facts.peer),
  ];
  const claim = { operation: 'set up roles: link', operator: context.operator, startedOn: answers.self.fqdn };
  const links = await withLocks(places, claim, async () => {
    const keys = { local: await local.key(), peer: await peer.server.key() };
    const plan = planSetup(facts, answers, { ...inputs, keys });
    await during(context.report, `Installing the program on ${answers.peer.fqdn}`, () => peer.server.installProgram());
    await runLink(sidesOf(prepared, plan.link), plan.links, context.report, context.stop);
    return plan.links;
  });
  peer.session.close();
  const again = await linkedPeer(context, links.local);
  const { facts: now } = await bothFacts(context, local, again, answers);
  const keys = { local: now.local.pairKey, peer: now.peer.pairKey };
  return {
    ...prepared,
    peer: again,
    facts: now,
    plan: planSetup(now, answers, { ...inputs, keys, settings: undefined }),
  };
}

/** Verify: read again, plan again, expect nothing to do; then tell what was done. */
async function finish(
  context: CommandContext,
  prepared: Prepared,
  link: SetupPlan['link'],
  unjudged: readonly string[],
  told: Record<string, unknown>,
): Promise<CommandOutcome> {
  const { local, peer, answers, inputs, plan } = prepared;
  const { facts } = await during(context.report, 'Verifying on both servers', () =>
    bothFacts(context, local, peer, answers),
  );
  const again = planSetup(facts, answers, { ...inputs, settings: undefined });
  const left = [
    ...again.link.local.files,
    ...again.link.peer.files,
    ...again.change.local.files,
    ...again.change.peer.files,
  ];
  if (left.length > 0)
    throw new CmsadmError('verify-failed', 'The change is confirmed, but reading it back shows differences.', {
      exitCode: exitCodes.needsPerson,
      details: left.map(({ path }) => path),
      remedy: 'Look at these files on both servers; run set up again to see the difference.',
    });
  const verified = [
    'files as planned',
    'fresh login in both directions',
    ...(fileOf(facts.local, 'hosts') ? ['both servers in /etc/hosts'] : []),
  ];
  const { tag } = plan.change.local;
  const servers = [
    resultOf(answers.self.fqdn, 'primary', [link.local, plan.change.local], verified),
    resultOf(answers.peer.fqdn, 'secondary', [link.peer, plan.change.peer], verified),
  ];
  const notes = [
    `To undo: cmsadm config_HA restore --tag ${tag}`,
    ...(unjudged.length > 0 || !context.host.system.real
      ? [`Not judged by the program that reads it: ${unjudged.join(', ') || 'nothing'}`]
      : []),
  ];
  context.report.show({
    kind: 'result',
    title: `The roles are set up: ${answers.self.fqdn} is primary, ${answers.peer.fqdn} secondary (epoch ${plan.pair.epoch}).`,
    servers,
    notes,
  });
  return {
    exitCode: exitCodes.done,
    summary: `set up roles: done, tag ${tag}`,
    result: { outcome: 'done', tag, epoch: plan.pair.epoch, servers, ...told },
  };
}
