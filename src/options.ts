import { backupOption } from './backup-operations.ts';
import { acdParameters, linkParameters } from './commands/acd-parameters.ts';
import {
  accessParameters,
  acdChoice,
  agingParameters,
  packageParameters,
  packagingParameters,
  serviceParameters,
  setupParameters,
} from './commands/parameters.ts';
import type { Operation } from './operations.ts';

/** One of the menu's options: what its number runs, and what more of it can be asked for on the command line. */
export type Option = {
  /** As in the profile's menu, and on the command line: `cmsadm <command>`. */
  readonly command: string;
  readonly operation: Operation;
  /** What the menu runs instead, where it asks first which of them is meant. */
  readonly atMenu?: Operation;
  /** `cmsadm <command> <name>` */
  readonly more: readonly Operation[];
};

/** Options 1 to 11, and what belongs to them without being in the menu; loaded when they are used. */
export const options: readonly Option[] = [
  {
    command: 'acd_create',
    operation: {
      name: 'acd_create',
      label: 'Define a new ACD',
      parameters: acdParameters,
      run: async (context, given) => (await import('./commands/acd-create.ts')).acdCreate(context, given),
    },
    more: [],
  },
  {
    command: 'acd_remove',
    operation: {
      name: 'acd_remove',
      label: 'Remove all administration and data of an ACD',
      parameters: [acdChoice.acd, acdChoice.name],
      run: async (context, given) => (await import('./commands/acd-remove.ts')).acdRemove(context, given),
    },
    more: [],
  },
  {
    command: 'acd_list',
    operation: {
      name: 'acd_list',
      label: 'Show the ACDs, their links and data collection on both servers',
      parameters: [],
      run: async (context) => (await import('./commands/acd-list.ts')).acdList(context),
    },
    more: [],
  },
  {
    command: 'acd_check',
    operation: {
      name: 'acd_check',
      label: 'Call the switch of every link from both servers',
      parameters: [acdChoice.only],
      run: async (context, given) => (await import('./commands/acd-check.ts')).acdCheck(context, given),
    },
    more: [],
  },
  {
    command: 'acd_link',
    operation: {
      name: 'acd_link',
      label: 'Start, stop, busy out or release the link of an ACD on this server, or change the links of both',
      parameters: [acdChoice.link, ...linkParameters],
      run: async (context, given) => (await import('./commands/acd-link.ts')).acdLink(context, given),
    },
    more: [],
  },
  {
    command: 'pkg_install',
    operation: {
      name: 'pkg_install',
      label: 'Install a feature package',
      parameters: [packageParameters.package, setupParameters.licencePackage],
      run: async (context, given) => (await import('./commands/pkg-install.ts')).pkgInstall(context, given),
    },
    more: [],
  },
  {
    command: 'pkg_remove',
    operation: {
      name: 'pkg_remove',
      label: 'Remove a feature package',
      parameters: [packageParameters.name],
      run: async (context, given) => (await import('./commands/pkg-remove.ts')).pkgRemove(context, given),
    },
    more: [],
  },
  {
    command: 'run_pkg',
    operation: {
      name: 'run_pkg',
      label: 'Turn a feature package on or off',
      parameters: [packageParameters.name, packageParameters.state],
      run: async (context, given) => (await import('./commands/run-pkg.ts')).runPkg(context, given),
    },
    more: [],
  },
  backupOption,
  {
    command: 'run_ids',
    operation: {
      name: 'run_ids',
      label: 'Turn the database on or off',
      parameters: [serviceParameters.idsAction, serviceParameters.bothOff],
      run: async (context, given) => (await import('./commands/run-ids.ts')).runIds(context, given),
    },
    more: [],
  },
  {
    command: 'run_cms',
    operation: {
      name: 'run_cms',
      label: 'Turn the application on or off',
      parameters: [serviceParameters.cmsAction, serviceParameters.bothOff],
      run: async (context, given) => (await import('./commands/run-cms.ts')).runCms(context, given),
    },
    more: [],
  },
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
  {
    command: 'config_pkg',
    operation: {
      name: 'config_pkg',
      label: 'Configure a feature',
      parameters: [packageParameters.name, packageParameters.set],
      run: async (context, given) => (await import('./commands/config-pkg.ts')).configPkg(context, given),
    },
    more: [],
  },
  // No entry of the menu: for looking, and for who makes packages.
  {
    command: 'package',
    operation: {
      name: 'package',
      label: 'List the feature packages',
      parameters: [],
      run: async (context) => (await import('./commands/pkg-list.ts')).pkgList(context),
    },
    more: [
      {
        name: 'list',
        label: 'List the feature packages, and what differs on this server',
        parameters: [],
        run: async (context) => (await import('./commands/pkg-list.ts')).pkgList(context),
      },
      {
        name: 'build',
        label: 'Make and sign a feature package',
        parameters: [packagingParameters.folder, packagingParameters.key, packagingParameters.out],
        forAnybody: true,
        run: async (context, given) => (await import('./commands/package-build.ts')).packageBuild(context, given),
      },
      {
        name: 'check',
        label: 'Verify a feature package and say what it is',
        parameters: [packagingParameters.file],
        run: async (context, given) => (await import('./commands/package-build.ts')).packageCheck(context, given),
      },
    ],
  },
];
