// The options of the menu whose every point is tried, with the pair as it stands before each.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { acdCreate } from '../../src/commands/acd-create.ts';
import { acdLink } from '../../src/commands/acd-link.ts';
import { acdRemove } from '../../src/commands/acd-remove.ts';
import { configPkg } from '../../src/commands/config-pkg.ts';
import type { CommandContext, CommandOutcome, Given } from '../../src/commands/context.ts';
import { dbaccess } from '../../src/commands/dbaccess.ts';
import { passwdAge } from '../../src/commands/passwd-age.ts';
import { pkgInstall } from '../../src/commands/pkg-install.ts';
import { pkgRemove } from '../../src/commands/pkg-remove.ts';
import { runCms } from '../../src/commands/run-cms.ts';
import { runIds } from '../../src/commands/run-ids.ts';
import { runPkg } from '../../src/commands/run-pkg.ts';
import { eachWanted } from '../../src/wanted/states.ts';
import { buildFixture } from '../features/fixture-packages.ts';
import { runCommand } from './command-run.ts';
import type { World } from './world.ts';

/** One option, scripted. */
export type MenuOption = {
  /** Brings the pair to where the option begins. */
  readonly before?: (world: World) => Promise<void>;
  readonly run: (context: CommandContext) => Promise<CommandOutcome>;
  /** The servers that it changes; what is administered on one of them alone, admin-sync carries to the other. */
  readonly changes: 'both' | 'one';
  /** Of so many faults one is tried: another option goes most of the same way. */
  readonly sample?: number;
};

const application = 'cms.service';
const database = 'ids.service';
function turnOff(world: World, ...units: readonly string[]): void {
  for (const server of Object.values(world.servers))
    for (const unit of units) server.units.set(unit, { exists: true, active: false, enabled: false });
}

const about = (acd: number, name: string): Given => ({
  ...{ acd: String(acd), 'switch-name': name, release: '10.x', vectoring: 'y', eas: 'n', 'split-members': '900' },
  ...{ 'local-port': '1', 'remote-port': '1', host: '10.1.1.1', 'shift-1-agents': '200' },
  ...{ 'peer-local-port': '2', 'peer-remote-port': '2', 'peer-host': '10.2.2.2' },
});
const create =
  (given: Given) =>
  (context: CommandContext): Promise<CommandOutcome> =>
    acdCreate(context, given);
const removeSouth = (context: CommandContext): Promise<CommandOutcome> =>
  acdRemove(context, { acd: '2', name: 'south' });

/** Earlier runs, one after the other. */
async function already(
  world: World,
  ...runs: readonly ((context: CommandContext) => Promise<unknown>)[]
): Promise<void> {
  for (const run of runs) {
    await runCommand(world, 'cms1', 9, run);
    await world.quiet();
  }
}

/** Two ACDs with data of theirs, and a user who works with the second one. */
async function twoAcds(world: World): Promise<void> {
  turnOff(world, application);
  await carry(world);
  await already(world, create(about(1, 'north')), create(about(2, 'south')));
  for (const { disk } of Object.values(world.servers)) {
    disk.put('/cms/data/acd/2/calls', 'collected\n', 0o640);
    disk.put('/cms/data/acd/2/today/queues', 'waiting\n');
  }
  world.servers.cms1.disk.put('/cms/admin/acd/access.yaml', 'users:\n  anna: { acd: 2 }\n');
  await carry(world);
}

/** What admin-sync would do now: the other server has the files of this one, and stands as they want it. */
async function carry({ servers: { cms1, cms2 }, ...world }: World): Promise<void> {
  cms2.disk.makeFolder('/cms/admin');
  const isCarried = (path: string): boolean => path.startsWith('/cms/admin/acd/');
  for (const path of cms2.disk.standing().keys())
    if (isCarried(path) && !cms1.disk.existsSync(path)) cms2.disk.unlinkSync(path);
  for (const [path, text] of cms1.disk.standing())
    if (isCarried(path) && text.includes('\n')) cms2.disk.put(path, text.slice(text.indexOf('\n') + 1));
  cms2.disk.sync();
  await runCommand({ ...world, servers: { cms1, cms2 } }, 'cms2', 9, ({ host, profile }) =>
    eachWanted('apply', host, profile),
  );
}

const idOfRemoved = ({ host }: CommandContext): string =>
  host.root.disk
    ?.readdirSync('/cms/admin/acd/removed')
    .find((name) => name.endsWith('.yaml'))
    ?.slice(0, -5) ?? '';

const name = 'external_call_history';
let packages: Promise<{ readonly old: string; readonly next: string }> | undefined;
/** Two versions of one package, on a medium of the operator's: what is read of that is no point. */
function packagesBuilt(): NonNullable<typeof packages> {
  packages ??= (async () => {
    const folder = mkdtempSync(join(tmpdir(), 'cmsadm-crash-points-'));
    process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
    const [old, next] = [join(folder, 'old.zip'), join(folder, 'next.zip')];
    const source = { licenceFeature: null };
    const more = `cmsadm-pkg-${name}-more.timer`;
    await buildFixture(name, old, { source });
    await buildFixture(name, next, {
      source: {
        ...{ ...source, version: '2.0.0' },
        units: [
          { name: `cmsadm-pkg-${name}.service`, starts: true },
          { name: more, starts: true },
        ],
      },
      files: {
        [`units/${more}`]: '[Timer]\nOnCalendar=daily\n[Install]\nWantedBy=timers.target\n',
        'lib/deep/file': 'x\n',
      },
    });
    return { old, next };
  })();
  return packages;
}
const install =
  (which: 'old' | 'next') =>
  async (context: CommandContext): Promise<CommandOutcome> =>
    pkgInstall(context, { package: (await packagesBuilt())[which] });
const turn =
  (state: 'on' | 'off') =>
  (context: CommandContext): Promise<CommandOutcome> =>
    runPkg(context, { name, state });

export const menuOptions = {
  'password aging': {
    run: (context) => passwdAge(context, { action: 'on', exclude: 'none', weeks: '9' }),
    changes: 'one',
  },
  acd_create: {
    before: async (world) => {
      turnOff(world, application);
      await carry(world);
    },
    run: create(about(1, 'north')),
    changes: 'both',
  },
  'acd_create from an archive': {
    before: async (world) => {
      await twoAcds(world);
      await already(world, removeSouth);
      await carry(world);
    },
    run: (context) => acdCreate(context, { 'from-archive': idOfRemoved(context) }),
    changes: 'both',
    sample: 3,
  },
  acd_remove: { before: twoAcds, run: removeSouth, changes: 'one' },
  acd_link: { before: twoAcds, run: (context) => acdLink(context, { what: 'start 2' }), changes: 'one' },
  'acd_link change': {
    before: twoAcds,
    run: (context) => acdLink(context, { what: 'change 2', host: '10.1.1.9', 'peer-host': '10.2.9.1' }),
    changes: 'both',
    sample: 3,
  },
  pkg_install: { run: install('old'), changes: 'one' },
  'pkg_install of another version': {
    before: (world) => already(world, install('old'), turn('on')),
    run: install('next'),
    changes: 'one',
  },
  pkg_remove: {
    before: (world) => already(world, install('next'), turn('on')),
    run: (context) => pkgRemove(context, { name }),
    changes: 'one',
  },
  run_pkg: { before: (world) => already(world, install('next')), run: turn('on'), changes: 'one' },
  config_pkg: {
    before: (world) => already(world, install('next'), turn('on')),
    run: (context) => configPkg(context, { name, set: 'interval=99' }),
    changes: 'one',
  },
  dbaccess: { run: (context) => dbaccess(context, { access: 'restricted' }), changes: 'one' },
  'dbaccess for another group': {
    before: async (world) => {
      await already(world, (context) => dbaccess(context, { access: 'restricted' }));
      world.servers.cms1.disk.put('/etc/group', 'root:x:0:\ndbaccess:x:1010:ben\n');
    },
    run: (context) => dbaccess(context, { access: 'restricted' }),
    changes: 'one',
    sample: 3,
  },
  run_ids: {
    before: async (world) => turnOff(world, application, database),
    run: (context) => runIds(context, { action: 'on' }),
    changes: 'one',
  },
  run_cms: { run: (context) => runCms(context, { action: 'all-off' }), changes: 'one' },
} as const satisfies Readonly<Record<string, MenuOption>>;
