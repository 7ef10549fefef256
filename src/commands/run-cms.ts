import type { CommandContext, CommandOutcome, Given } from './context.ts';
import { turnServices } from './turn-services.ts';

/** Option 8: turns the application on (with its database), off, or off with its database, on this server. */
export const runCms = (context: CommandContext, given: Given): Promise<CommandOutcome> =>
  turnServices(context, 'run_cms', given);
