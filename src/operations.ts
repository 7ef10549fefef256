import type { CommandContext, CommandOutcome, Given, Parameter } from './commands/context.ts';
import {
  activateParameters,
  backupsParameters,
  contactParameters,
  disableParameters,
  operationParameter,
  overrideParameters,
  setupParameters,
  tagParameter,
  upgradeParameters,
} from './commands/parameters.ts';

/** Something that config_HA does: its name for scripts, its line in the menu, its parameters, what it runs. */
export type Operation = {
  readonly name: string;
  readonly label: string;
  readonly parameters: readonly Parameter[];
  /** It touches nothing of the server: any user may run it, and no log tells of it. */
  readonly forAnybody?: true;
  readonly run: (context: CommandContext, given: Given) => Promise<CommandOutcome>;
};

/** The operations of option 12, in the order of its menu; loaded when they are used. */
export const operations: readonly Operation[] = [
  {
    name: 'setup',
    label: 'Set up the primary and secondary roles',
    parameters: [setupParameters, contactParameters, overrideParameters].flatMap((group) => Object.values(group)),
    run: async (context, given) => (await import('./commands/setup.ts')).setUp(context, given),
  },
  {
    name: 'reverse',
    label: 'Reverse the primary and secondary roles',
    parameters: [],
    run: async (context) => (await import('./commands/reverse.ts')).reverse(context),
  },
  {
    name: 'show',
    label: 'Show the pair',
    parameters: [],
    run: async (context) => (await import('./commands/show.ts')).show(context),
  },
  {
    name: 'restore',
    label: 'Restore a backup tag',
    parameters: [tagParameter],
    run: async (context, given) => (await import('./commands/restore.ts')).restore(context, given),
  },
  {
    name: 'activate',
    label: 'Activate this server',
    parameters: Object.values(activateParameters),
    run: async (context, given) => (await import('./commands/activate.ts')).activate(context, given),
  },
  {
    name: 'disable',
    label: 'Disable HA',
    parameters: Object.values(disableParameters),
    run: async (context, given) => (await import('./commands/disable.ts')).disable(context, given),
  },
  {
    name: 'backups',
    label: 'List the backups, and remove old ones',
    parameters: Object.values(backupsParameters),
    run: async (context, given) => (await import('./commands/backups.ts')).backups(context, given),
  },
  {
    name: 'unlock',
    label: 'End an operation that hangs',
    parameters: [operationParameter],
    run: async (context, given) => (await import('./commands/unlock.ts')).unlock(context, given),
  },
  {
    name: 'upgrade',
    label: 'Bring both servers to another version of cmsadm',
    parameters: [setupParameters.haPackage, upgradeParameters.back],
    run: async (context, given) => (await import('./commands/upgrade.ts')).upgrade(context, given),
  },
];
