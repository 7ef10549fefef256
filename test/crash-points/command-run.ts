// One run of the program on a server in memory, in a process of its own.
import type { CommandContext } from '../../src/commands/context.ts';
import type { Name, Process, World } from './world.ts';

const silent = {
  step: () => () => undefined,
  line: () => undefined,
  warn: () => undefined,
  show: () => undefined,
  progress: () => undefined,
  live: () => false,
};

/** @throws what the command throws; its process is gone then as well */
export async function runCommand(
  world: World,
  name: Name,
  pid: number,
  command: (context: CommandContext, process: Process) => Promise<unknown>,
): Promise<void> {
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
    stop: process.stop,
    asked: {},
  };
  try {
    await command(context, process);
  } finally {
    process.kill();
  }
}
