import { rmSync } from 'node:fs';
import { dirname } from 'node:path';
import { Command, CommanderError, Option } from 'commander';
import { linesAsker, terminalAsker } from './ask.ts';
import type { CommandContext, CommandOutcome, Given } from './commands/context.ts';
import { recoverParameters, syncParameters } from './commands/parameters.ts';
import { CmsadmError, type ExitCode, exitCodes, explained } from './errors.ts';
import { versionOf } from './host/program-version.ts';
import type { Host } from './host/system.ts';
import { addOperation } from './operation-flags.ts';
import { type Operation, operations } from './operations.ts';
import type { Option as MenuOption } from './options.ts';
import { profileOfServer } from './profile/load.ts';
import { programRoot } from './program-root.ts';
import type { Asker } from './report.ts';
import { makeReport } from './screen/render.ts';
import { type GlobalOptions, hostOf, openContext, requireRoot, runLogged } from './session.ts';
import { syncOperations } from './sync-operations.ts';

type Renderer = ReturnType<typeof makeReport>;

const renderer = (json: boolean): Renderer =>
  makeReport({
    stream: process.stdout,
    errors: process.stderr,
    // A terminal that nobody gave a size (`ssh -tt` from a script) has no columns: a spinner would clear lines for ever.
    mode: json ? 'json' : process.stdout.isTTY && process.stdout.columns > 0 ? 'terminal' : 'plain',
    width: Math.min(process.stdout.columns || 80, 100),
    rows: () => process.stdout.rows || 24,
    onLost: () => process.on('exit', tellLost),
  });

/** What went well can't be read by anybody: that is not well. */
function tellLost(): void {
  if (process.exitCode === exitCodes.done || process.exitCode === exitCodes.pending)
    process.exitCode = exitCodes.outputLost;
}

/** Somebody at a terminal; nobody where either end is not one. */
const somebody = (): Asker | undefined => (process.stdin.isTTY && process.stdout.isTTY ? terminalAsker() : undefined);

/** The command line: menu without a command, else one command. Sets the exit code. */
export async function main(args: readonly string[]): Promise<void> {
  // Modes are set file by file; a caller's umask (077 at a first contact) must not narrow the folders that we make.
  process.umask(0o022);
  const program = new Command('cmsadm')
    .description('Administration of a server, alone or in a high-availability pair. Without a command: the menu.')
    .version(versionOf(programRoot))
    .addOption(new Option('--root <folder>', 'a rehearsal server instead of this one').default('/'))
    .option('--json', 'one JSON object on standard output', false)
    .option('--yes', 'carry out without asking', false)
    .option('--dry-run', 'show the plan and stop (exit 0 nothing to do, 2 changes pending)', false)
    .exitOverride()
    .configureOutput({ outputError: () => {} }) // told below, once, in the form that was asked for
    .usage('[options] [command]')
    .argument('[command]')
    .action(async (command: string | undefined) => {
      if (command !== undefined) throw await unknownCommand(command, program.opts());
      if (program.opts<GlobalOptions>().json)
        throw new CmsadmError('usage', 'The menu is for a person: --json needs a command.', {
          exitCode: exitCodes.usage,
          remedy: 'cmsadm --help',
        });
      finish(await menu(program.opts()));
    });
  addHa(program);
  addSync(program);
  // Set up shall not wait for what it never needs.
  if (!['config_HA', 'sync', 'recover'].includes(args[0] ?? ''))
    addMenuOptions(program, (await import('./options.ts')).options);
  addRecover(program);
  addRehearsal(program);
  try {
    await program.parseAsync([...args], { from: 'user' });
  } catch (thrown) {
    const error = explained(thrown);
    if (error instanceof CommanderError) {
      if (error.exitCode !== 0) renderer(args.includes('--json')).failure(usageError(error, namedIn(program, args)));
      return finish(error.exitCode === 0 ? exitCodes.done : exitCodes.usage);
    }
    renderer(args.includes('--json')).failure(error);
    finish(error instanceof CmsadmError ? error.exitCode : exitCodes.bug);
  }
}

/** The command that was meant, as far as its words are known: `sync now`. */
function namedIn(program: Command, args: readonly string[]): string {
  let command = program;
  const words: string[] = [];
  for (const word of args) {
    const next = command.commands.find((one) => one.name() === word);
    if (!next) continue;
    words.push(word);
    command = next;
  }
  return words.join(' ');
}

const usageError = (error: CommanderError, named: string): CmsadmError =>
  new CmsadmError('usage', error.message.replace(/^error: /, ''), {
    exitCode: exitCodes.usage,
    remedy: `cmsadm ${named === '' ? '' : `${named} `}--help`,
  });

const unknownCommand = async (command: string, { root }: GlobalOptions): Promise<CmsadmError> => {
  const profile = profileOfServer(root, programRoot);
  const later = profile.menu.some((item) => item.command === command);
  if (later) {
    const host = await hostOf(root, () => {});
    (await import('./commands/allowed-here.ts')).refuseUnlessAllowed(host, profile, command);
  }
  return new CmsadmError(
    'usage',
    later ? `This version does not have ${command} yet.` : `${JSON.stringify(command)} is no command.`,
    {
      exitCode: exitCodes.usage,
      remedy: `Commands: ${['config_HA', 'sync', 'recover', ...(await import('./options.ts')).options.map((one) => one.command)].join(', ')}. Without a command: the menu.`,
    },
  );
};

const finish = (exitCode: ExitCode): void => {
  process.exitCode = exitCode;
};

async function menu(options: GlobalOptions): Promise<ExitCode> {
  const report = renderer(options.json);
  const ask = somebody() ?? linesAsker(process.stdin, process.stdout);
  const context = await openContext(options, 'menu', report, ask);
  try {
    const { runMenu } = await import('./menu.ts');
    return await runMenu(context, report);
  } finally {
    report.stop();
    process.stdin.destroy(); // nothing may keep the process once the menu is left
  }
}

async function runCommand(
  options: GlobalOptions,
  what: string | undefined,
  run: (context: CommandContext) => Promise<CommandOutcome>,
): Promise<ExitCode> {
  const report = renderer(options.json);
  // Without --yes nobody can confirm a JSON run: it only shows the plan.
  const dryRun = options.dryRun || (options.json && !options.yes);
  const context = await openContext(
    { ...options, dryRun },
    what,
    report,
    options.json || options.yes ? undefined : somebody(),
  );
  try {
    return await runLogged(context, report, () => run(context));
  } finally {
    report.stop();
  }
}

function addHa(program: Command): void {
  const ha = addGroup(program, 'config_HA', 'set up, reverse, show and end a high-availability pair', operations);
  for (const operation of operations)
    addOperation(program, ha, operation, true, async (options, given) =>
      finish(await runCommand(options, `config_HA ${operation.name}`, (context) => operation.run(context, given))),
    );
}

function addSync(program: Command): void {
  const sync = addGroup(program, 'sync', 'watch admin-sync and steer it', syncOperations);
  for (const operation of syncOperations)
    addOperation(program, sync, operation, false, async (options, given) => {
      if (options.dryRun || (options.json && given[syncParameters.watch.name] !== undefined))
        throw new CmsadmError('usage', `sync ${operation.name} can't be run in this way.`, {
          exitCode: exitCodes.usage,
          remedy: 'It takes no --dry-run, for it has no plan; and --watch goes without --json.',
        });
      finish(await runCommand(options, `sync ${operation.name}`, (context) => operation.run(context, given)));
    });
}

/** Options 1 to 11: each a command, with what more of it can be asked for behind its name. */
function addMenuOptions(program: Command, menuOptions: readonly MenuOption[]): void {
  const run =
    (command: string, operation: Operation, what: string) =>
    async (options: GlobalOptions, given: Given): Promise<void> =>
      finish(
        await runCommand(options, operation.forAnybody ? undefined : what, async (context) => {
          (await import('./commands/allowed-here.ts')).refuseUnlessAllowed(context.host, context.profile, command);
          return operation.run(context, given);
        }),
      );
  for (const { command, operation, more } of menuOptions) {
    const group = addOperation(
      program,
      program,
      { ...operation, name: command },
      true,
      run(command, operation, command),
    );
    for (const one of more) addOperation(program, group, one, true, run(command, one, `${command} ${one.name}`));
  }
}

/** A command that only names what it can do. */
const addGroup = (
  program: Command,
  name: string,
  description: string,
  its: readonly Pick<Operation, 'name'>[],
): Command =>
  program
    .command(name)
    .description(description)
    .argument('[operation]')
    .action((unknown: string | undefined) => {
      throw new CmsadmError(
        'usage',
        unknown === undefined ? `${name} wants to know what to do.` : `${name} has no ${JSON.stringify(unknown)}.`,
        {
          exitCode: exitCodes.usage,
          remedy: `cmsadm ${name} ${its.map((operation) => operation.name).join('|')}`,
        },
      );
    });

function addRecover(program: Command): void {
  program
    .command('recover')
    .description('settle what an interrupted change left open, on both servers')
    .addOption(new Option(`--${recoverParameters.peerGone.name} <fqdn>`, recoverParameters.peerGone.help))
    .addOption(new Option('--way-back <transaction>').hideHelp())
    .addOption(new Option('--boot').hideHelp())
    .action(async (flags: { wayBack?: string; boot?: true; peerGone?: string }) => {
      const options: GlobalOptions = program.opts();
      if (flags.wayBack !== undefined || flags.boot) return finish(await settleItself(options, flags.wayBack));
      finish(
        // It shows no plan that anybody would have to confirm.
        await runCommand({ ...options, yes: true }, 'recover', async (context) =>
          (await import('./commands/recover.ts')).recoverCommand(
            context,
            flags.peerGone === undefined ? {} : { [recoverParameters.peerGone.name]: flags.peerGone },
          ),
        ),
      );
    });
}

/** The way back's timer and the boot: nobody is there, so the journal tells what was done. */
async function settleItself(options: GlobalOptions, only: string | undefined): Promise<ExitCode> {
  requireRoot(options.root);
  const { recover } = await import('./change/recover.ts');
  const { takeAwayTheRest } = await import('./change/afterwards.ts');
  const host = await hostOf(options.root, () => {});
  if (only === undefined) await settleBackupsItself(host);
  const settled = await recover(host, only, 'itself');
  for (const { id, did, why } of settled) process.stdout.write(`${id}: ${did}: ${why}\n`);
  // What can't go by itself goes when the operator recovers.
  await takeAwayTheRest(host).catch(() => undefined);
  return settled.some(({ did }) => did === 'waits') ? exitCodes.needsPerson : exitCodes.done;
}

/** What a power cut left of a restore over this server; it keeps nothing else from being settled. */
async function settleBackupsItself(host: Host): Promise<void> {
  try {
    const { settleBackups } = await import('./commands/backup-unblock.ts');
    for (const line of (await settleBackups(host, 'cmsadm')) ?? []) process.stdout.write(`backup: ${line}\n`);
  } catch (error) {
    if (!(error instanceof CmsadmError)) throw error;
    process.stdout.write(`backup: ${error.message} ${error.remedy ?? ''}\n`);
  }
}

function addRehearsal(program: Command): void {
  program
    .command('rehearse')
    .description('play set up, sync, reverse and restore on a pair made of two folders')
    .option('--keep <folder>', 'make the pair there and leave it')
    .action(async (flags: { keep?: string }) => {
      const { rehearse } = await import('./rehearsal/rehearse.ts');
      const report = renderer(false);
      const good = await rehearse(programRoot, flags.keep, report).finally(() => report.stop());
      // The embedded servers would keep the process.
      process.exit(good ? exitCodes.done : exitCodes.putBack);
    });
  program
    .command('practise')
    .description('the menu on a pair made of two folders')
    .option('--keep <folder>', 'make the pair there, or use the one that is there')
    .action(async (flags: { keep?: string }) => {
      const { practise } = await import('./rehearsal/practise.ts');
      const root = await practise(programRoot, flags.keep, (text) => void process.stdout.write(`${text}\n`));
      process.on('exit', () => {
        if (flags.keep === undefined) rmSync(dirname(root), { recursive: true, force: true });
      });
      process.exit(await menu({ root, json: false, yes: false, dryRun: false }));
    });
}
