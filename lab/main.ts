import { spawnSync } from 'node:child_process';
import { parseArgs } from 'node:util';
import { CmsadmError, exitCodes } from '../src/errors.ts';
import { enter, guestEnvironment } from './guest.ts';
import { cut, down, freeze, heal, powerOff, powerOn, reset, slow, thaw, up } from './lab.ts';
import { type Boot, guestOf } from './lifecycle.ts';
import { installProduct } from './product.ts';
import { isServerName, type ServerName, serverNames, type Variant, variants } from './servers.ts';
import { sshArgv } from './ssh.ts';
import { describeLab } from './status.ts';

const usage = `Two servers (cms1, cms2) and a client (probe) on this machine. See docs/lab.md.

  npm run lab -- up [--variant no-root]    bring all three up (fresh, unless they are up already)
  npm run lab -- down                      remove everything
  npm run lab -- reset [NAME]              fresh disk and boot, of one or all
  npm run lab -- status                    what is up
  npm run lab -- ssh NAME [CMD...]         log in by SSH as root (operator where root may not)
  npm run lab -- exec NAME CMD...          run a command as root, without SSH
  npm run lab -- power-off NAME            power loss;  power-on NAME  boots it again
  npm run lab -- cut NAME                  pull the network cable;  heal NAME  puts it back
  npm run lab -- slow NAME [--delay MS] [--loss PCT] [--clear]
  npm run lab -- install NAME              install dist/HAcms_*.zip there, with a test licence
  npm run lab -- freeze NAME               hang, cable in;  thaw NAME  goes on
`;

const say = (line: string): void => console.log(line);

/** Commands of one server and nothing else. */
const powerCommands: Readonly<Record<string, (name: ServerName) => Promise<void>>> = {
  'power-off': powerOff,
  'power-on': async (name) => report([await powerOn(name)]),
  cut,
  heal,
  install: (name) => installProduct(name),
  freeze: async (name) => freeze(name),
  thaw: async (name) => thaw(name),
};

/** Runs one command of the lab and returns the exit code. Throws `usage` and what the commands throw. */
async function main(command: string | undefined, rest: readonly string[]): Promise<number> {
  switch (command) {
    case 'up':
      report(await up({ variant: variantIn(rest), say }));
      return exitCodes.done;
    case 'down':
      takeNothing(rest);
      await down();
      say('the lab is gone');
      return exitCodes.done;
    case 'reset':
      takeNothing(rest.slice(1));
      report(await reset(rest.length === 0 ? undefined : serverIn(rest)));
      return exitCodes.done;
    case 'status':
      takeNothing(rest);
      say((await describeLab()).join('\n'));
      return exitCodes.done;
    case 'ssh':
      return hand(sshArgv(serverIn(rest), rest.slice(1)), process.env);
    case 'exec':
      return hand(enter(guestOf(serverIn(rest)), commandIn(rest)), { ...guestEnvironment, TERM: process.env['TERM'] });
    case 'slow':
      await slow(serverIn(rest), lineIn(rest.slice(1)));
      return exitCodes.done;
    default:
      await powerCommand(command)(onlyServerIn(rest));
      return exitCodes.done;
  }
}

function powerCommand(command: string | undefined): (name: ServerName) => Promise<void> {
  const found = command !== undefined && Object.hasOwn(powerCommands, command) ? powerCommands[command] : undefined;
  if (found === undefined)
    throw misuse(command === undefined ? 'A command is missing.' : `"${command}" is no command of the lab.`);
  return found;
}

function serverIn(rest: readonly string[]): ServerName {
  const [name] = rest;
  if (name !== undefined && isServerName(name)) return name;
  throw misuse(
    `${name === undefined ? 'A server is missing' : `"${name}" is no server`}: one of ${serverNames.join(', ')}.`,
  );
}

function onlyServerIn(rest: readonly string[]): ServerName {
  takeNothing(rest.slice(1));
  return serverIn(rest);
}

function commandIn(rest: readonly string[]): readonly string[] {
  if (rest.length < 2) throw misuse('The command to run is missing.');
  return rest.slice(1);
}

function variantIn(rest: readonly string[]): Variant {
  const { variant } = parsed(rest, { variant: { type: 'string', default: 'default' } });
  const found = variants.find((one) => one === variant);
  if (found === undefined) throw misuse(`"${String(variant)}" is no variant: one of ${variants.join(', ')}.`);
  return found;
}

function lineIn(rest: readonly string[]): { delayMs: number; lossPercent: number } {
  const { delay, loss, clear } = parsed(rest, {
    delay: { type: 'string' },
    loss: { type: 'string' },
    clear: { type: 'boolean', default: false },
  });
  if (clear === (delay !== undefined || loss !== undefined)) throw misuse('Give --delay and --loss, or --clear.');
  return { delayMs: numberIn('--delay', delay, 60_000), lossPercent: numberIn('--loss', loss, 100) };
}

function numberIn(flag: string, value: unknown, max: number): number {
  if (value === undefined) return 0;
  const number = typeof value === 'string' && /^\d+(\.\d+)?$/.test(value) ? Number(value) : Number.NaN;
  if (!(number <= max)) throw misuse(`${flag} takes a number from 0 to ${max}.`);
  return number;
}

type FlagTypes = Record<string, { type: 'string' | 'boolean'; default?: string | boolean }>;

function parsed(rest: readonly string[], options: FlagTypes): Record<string, unknown> {
  try {
    return parseArgs({ args: [...rest], options, strict: true }).values;
  } catch (error) {
    throw misuse(error instanceof Error ? error.message : String(error));
  }
}

function takeNothing(rest: readonly string[]): void {
  if (rest.length > 0) throw misuse(`"${rest.join(' ')}" is too much.`);
}

function misuse(message: string): CmsadmError {
  return new CmsadmError('usage', message, { exitCode: exitCodes.usage, remedy: 'npm run lab -- help' });
}

function report(boots: readonly Boot[]): void {
  if (boots.length === 0) say('all servers were up already');
  for (const { name, system, seconds } of boots) say(`${name}: ${system} after ${seconds.toFixed(1)} s`);
}

/** Gives terminal and streams to a command and returns its exit code. */
function hand(argv: readonly [string, ...string[]], env: Record<string, string | undefined>): number {
  const [file, ...args] = argv;
  return spawnSync(file, args, { stdio: 'inherit', env }).status ?? exitCodes.interrupted;
}

const [command, ...rest] = process.argv.slice(2);
if (command === 'help' || command === '--help') {
  process.stdout.write(usage);
} else {
  try {
    process.exitCode = await main(command, rest);
  } catch (error) {
    if (!(error instanceof CmsadmError)) throw error;
    for (const line of [
      error.message,
      ...error.details,
      ...(error.remedy === undefined ? [] : [`-> ${error.remedy}`]),
    ]) {
      console.error(line);
    }
    process.exitCode = error.exitCode;
  }
}
