// The operations whose every point is tried, run as the program's own commands run them.
import { remoteServer } from '../../src/change/remote-server.ts';
import { localServer } from '../../src/change/server.ts';
import { type AdministrativePlan, administer } from '../../src/commands/administer.ts';
import type { Peer } from '../../src/commands/contact.ts';
import type { CommandContext } from '../../src/commands/context.ts';
import { disable } from '../../src/commands/disable.ts';
import { passwdAge } from '../../src/commands/passwd-age.ts';
import { recoverCommand } from '../../src/commands/recover.ts';
import { restore } from '../../src/commands/restore.ts';
import { reverse } from '../../src/commands/reverse.ts';
import { carryOut, unitTexts } from '../../src/commands/setup.ts';
import { bothFacts } from '../../src/commands/setup-preflight.ts';
import { CmsadmError } from '../../src/errors.ts';
import type { SetupAnswers } from '../../src/ha/answers.ts';
import { planSetup } from '../../src/ha/setup.ts';
import { ownFolder } from '../../src/pair/administered.ts';
import { freshWorld, type Name, type Process, repository, type World } from './world.ts';

export const operations = [
  'set up',
  'reverse',
  'restore',
  'disable',
  'administer',
  'administer both',
  'password aging',
] as const;
export type Operation = (typeof operations)[number];

const silent = {
  step: () => () => undefined,
  line: () => undefined,
  warn: () => undefined,
  show: () => undefined,
  progress: () => undefined,
  live: () => false,
};

/** The context of one run of the program on a server, in a process of its own. */
function contextOn(world: World, name: Name, pid: number): { context: CommandContext; process: Process } {
  const process = world.spawn(name);
  const context: CommandContext = {
    // No agent runs: what it would drain is no matter here.
    host: { ...process.host, callAgent: async () => null },
    profile: world.profile,
    report: silent,
    ask: undefined,
    yes: true,
    dryRun: false,
    log: { choice: () => undefined, outcome: () => undefined },
    pid,
    operator: 'ops',
    stop: { requested: false },
  };
  return { context, process };
}

const pids: Readonly<Record<Operation, number>> = {
  'set up': 11,
  reverse: 12,
  restore: 13,
  disable: 14,
  administer: 15,
  'administer both': 16,
  'password aging': 17,
};

/** A change of what is administered, in which one file is made, one changed and one goes. */
const administered = (text: string): AdministrativePlan => ({
  operation: 'define a desk',
  files: [
    { path: '/cms/admin/desks/1.yaml', content: `name: ${text}\n` },
    { path: '/cms/admin/desks/2.yaml', content: text === 'first' ? 'name: goes\n' : null },
    { path: `${ownFolder}/desks/${text}.yaml`, content: 'address: 192.0.2.1\n' },
  ],
  notes: [],
});
const onBoth = (text: string): AdministrativePlan => ({
  ...administered(text),
  peerFiles: [{ path: `${ownFolder}/desks/link.yaml`, content: `address: ${text}\n` }],
});

/** Runs one operation from cms1, or from cms2 after a reversal. @throws what the command throws */
export async function run(world: World, operation: Operation): Promise<void> {
  const { context, process } = contextOn(world, 'cms1', pids[operation]);
  try {
    if (operation === 'set up') await setUp(world, context, process);
    if (operation === 'reverse') await reverse(context);
    if (operation === 'restore') await restore(context, { tag: tagOfSetUp(world) });
    if (operation === 'disable') await disable(context, { peer: 'cms2.example.com' });
    if (operation === 'administer') await administer(context, administered('second'));
    if (operation === 'administer both') await administer(context, onBoth('second'));
    if (operation === 'password aging') await passwdAge(context, { action: 'on', exclude: 'none', weeks: '9' });
  } finally {
    process.kill();
  }
}

/** `cmsadm recover` on a server, as an operator types it. @throws what the command throws */
export async function recoverOn(world: World, name: Name): Promise<void> {
  const { context, process } = contextOn(world, name, 99);
  try {
    await recoverCommand(context);
  } finally {
    process.kill();
  }
}

/** The pair as it stands before an operation. */
export async function worldBefore(operation: Operation): Promise<World> {
  const world = freshWorld();
  if (operation === 'set up') return world;
  await run(world, 'set up');
  await world.quiet();
  if (operation.startsWith('administer')) {
    const { context, process } = contextOn(world, 'cms1', 10);
    await administer(context, (operation === 'administer' ? administered : onBoth)('first'));
    process.kill();
    await world.quiet();
  }
  return world;
}

const tagOfSetUp = (world: World): string =>
  world.servers.cms1.disk
    .readdirSync('/var/lib/cmsadm/journal')
    .find((name) => name.endsWith('.change.jsonl'))
    ?.replace('.change.jsonl', '') ?? '';

const answersOf = (world: World): SetupAnswers => {
  const server = (name: Name) => ({
    address: world.servers[name].recorded.addresses[0]?.address ?? '',
    fqdn: `${name}.example.com`,
    hostname: name,
  });
  return {
    ntpServer: '192.0.2.1',
    self: server('cms1'),
    selfPort: 22,
    peer: server('cms2'),
    peerPort: 22,
    rhosts: false,
    licencePackage: '/root/licence.zip',
    haPackage: '/root/HAcms.zip',
  };
};

/** Set up from the operator's `y` on: a first contact stands already, its program in place. */
async function setUp(world: World, context: CommandContext, process: Process): Promise<void> {
  const answers = answersOf(world);
  const session = await world.firstContact(process);
  try {
    const local = localServer({ host: context.host, profile: world.profile, family: 'debian', carriedIn: undefined });
    const peer: Peer = { server: remoteServer(session), session, port: 22, carried: false, linked: false };
    const { facts } = await bothFacts(context, local, peer, answers);
    const inputs = {
      profile: world.profile,
      run: { tag: 'zdt_11_1700000000', operator: 'ops' },
      units: unitTexts(repository),
      keys: { local: facts.local.pairKey, peer: facts.peer.pairKey },
      settings: undefined,
      bringsProgram: false,
    };
    const plan = planSetup(facts, answers, inputs);
    // What the preflight would refuse.
    const problems = [
      ...[...plan.problems.local, ...plan.problems.peer].map(({ text }) => text),
      ...[facts.local, facts.peer].flatMap(({ sshdProblem, servicesReachable }) => [
        ...(sshdProblem === undefined ? [] : [sshdProblem]),
        ...(servicesReachable === undefined ? [] : [servicesReachable]),
      ]),
    ];
    if (problems.length > 0) throw new CmsadmError('preflight-failed', problems.join(' '));
    await carryOut(context, { local, peer, facts, answers, inputs, plan }, {});
  } finally {
    session.close();
  }
}
