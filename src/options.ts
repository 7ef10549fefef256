import { accessParameters, agingParameters } from './commands/parameters.ts';
import type { Operation } from './operations.ts';

/** One of the menu's options: what its number runs, and what more of it can be asked for on the command line. */
export type Option = {
  /** As in the profile's menu, and on the command line: `cmsadm <command>`. */
  readonly command: string;
  readonly operation: Operation;
  /** `cmsadm <command> <name>` */
  readonly more: readonly Operation[];
};

/** Options 1 to 11, and what belongs to them without being in the menu; loaded when they are used. */
export const options: readonly Option[] = [
  {
    command: 'passwd_age',
    operation: {
      name: 'passwd_age',
      label: 'Set password aging options',
      parameters: Object.values(agingParameters),
      run: async (context, given) => (await import('./commands/passwd-age.ts')).passwdAge(context, given),
    },
    more: [],
  },
  {
    command: 'dbaccess',
    operation: {
      name: 'dbaccess',
      label: 'Change who may connect to the database',
      parameters: Object.values(accessParameters),
      run: async (context, given) => (await import('./commands/dbaccess.ts')).dbaccess(context, given),
    },
    more: [],
  },
];
