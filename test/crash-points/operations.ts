// The operations whose every point is tried, run as the program's own commands run them.
import { remoteServer } from '../../src/change/remote-server.ts';
import { localServer } from '../../src/change/server.ts';
import { type AdministrativePlan, administer } from '../../src/commands/administer.ts';
import type { Peer } from '../../src/commands/contact.ts';
import type { CommandContext } from '../../src/commands/context.ts';
import { disable } from '../../src/commands/disable.ts';
import { recoverCommand } from '../../src/commands/recover.ts';
import { restore } from '../../src/commands/restore.ts';
import { reverse } from '../../src/commands/reverse.ts';
import { carryOut, unitTexts } from '../../src/commands/setup.ts';
import { bothFacts } from '../../src/commands/setup-preflight.ts';
import { CmsadmError } from '../../src/errors.ts';
import type { SetupAnswers } from '../../src/ha/answers.ts';
import { planSetup } from '../../src/ha/setup.ts';
import { ownFolder } from '../../src/pair/administered.ts';
import { runCommand } from './command-run.ts';
import { menuOptions } from './menu-options.ts';
import { freshWorld, type Name, type Process, repository, type World } from './world.ts';

/** An operation that is tried. */
type Tried = {
  /** Brings the pair to where it begins. */
  readonly before?: (world: World) => Promise<void>;
  readonly run: (context: CommandContext, world: World, process: Process) => Promise<unknown>;
  /** The servers that it changes by itself; what is administered on one of them alone, admin-sync carries to the other. */
  readonly changes: 'both' | 'one';
  readonly sample?: number;
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

const pairOperations = {
  'set up': { run: (context, world, process) => setUp(world, context, process), changes: 'both' },
  reverse: { run: (context) => reverse(context), changes: 'both' },
  restore: { run: (context, world) => restore(context, { tag: tagOfSetUp(world) }), changes: 'both' },
  disable: { run: (context) => disable(context, { peer: 'cms2.example.com' }), changes: 'both' },
  administer: {
    before: (world) => runCommand(world, 'cms1', 10, (context) => administer(context, administered('first'))),
    run: (context) => administer(context, administered('second')),
    changes: 'one',
  },
  'administer both': {
    before: (world) => runCommand(world, 'cms1', 10, (context) => administer(context, onBoth('first'))),
    run: (context) => administer(context, onBoth('second')),
    changes: 'both',
  },
} as const satisfies Readonly<Record<string, Tried>>;

const all = { ...pairOperations, ...menuOptions };
export type Operation = keyof typeof all;
export const operations = Object.keys(all).filter((name): name is Operation => name in all);
const tried = (operation: Operation): Tried => all[operation];

/** The servers that an operation changes by itself. */
export const changesOf = (operation: Operation): 'both' | 'one' => tried(operation).changes;

/** Whether what fails after the decision is put back by a second change, as that of a feature package is. */
export const isPutBackBySecond = (operation: Operation): boolean => /pkg/.test(operation);

/** One of so many faults is tried. */
export const sampleOf = (operation: Operation): number => tried(operation).sample ?? 1;

/** Runs one operation from cms1; a second time as another process. @throws what the command throws */
export const run = (world: World, operation: Operation, pid = 11 + operations.indexOf(operation)): Promise<void> =>
  runCommand(world, 'cms1', pid, (context, process) => tried(operation).run(context, world, process));

/** `cmsadm recover` on a server, as an operator types it. @throws what the command throws */
export const recoverOn = (world: World, name: Name): Promise<void> =>
  runCommand(world, name, 99, (context) => recoverCommand(context));

/** The pair as it stands before an operation. */
export async function worldBefore(operation: Operation): Promise<World> {
  const world = freshWorld();
  if (operation === 'set up') return world;
  await run(world, 'set up');
  await world.quiet();
  await tried(operation).before?.(world);
  await world.quiet();
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
async function setUp(world: World, context: CommandContext, process: Process): Promise<unknown> {
  const answers = answersOf(world);
  const session = await world.firstContact(process);
  try {
    const local = localServer({ host: context.host, profile: world.profile, family: 'debian', carriedIn: undefined });
    const peer: Peer = { server: remoteServer(session), session, port: 22, carried: false, linked: false };
    const { facts } = await bothFacts(context, local, peer, answers);
    const inputs = {
      profile: world.profile,
      run: { tag: `zdt_${context.pid}_1700000000` as const, operator: 'ops' },
      units: unitTexts(repository),
      keys: { local: facts.local.pairKey, peer: facts.peer.pairKey },
      settings: undefined,
      bringsProgram: true,
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
    return await carryOut(context, { local, peer, facts, answers, inputs, plan }, {});
  } finally {
    session.close();
  }
}
