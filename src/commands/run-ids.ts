import type { CommandContext, CommandOutcome, Given } from './context.ts';
import { turnServices } from './turn-services.ts';

/** Option 7: turns the database on or off on this server; off is refused while the application is on. */
export const runIds = (context: CommandContext, given: Given): Promise<CommandOutcome> =>
  turnServices(context, 'run_ids', given);
