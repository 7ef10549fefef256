import {
  backupListParameters,
  backupParameters,
  backupPruneParameters,
  backupRestoreParameters,
  backupShowParameters,
  backupUnblockParameters,
  backupVerifyParameters,
  maintenanceParameters,
} from './commands/backup-parameters.ts';
import type { Operation } from './operations.ts';
import type { Option } from './options.ts';

const make: Operation = {
  name: 'make',
  label: 'Make a filesystem backup of this server',
  parameters: Object.values(backupParameters),
  run: async (context, given) => (await import('./commands/backup.ts')).backup(context, given),
};
const maintenance: Operation = {
  name: 'maintenance',
  label: 'Make a maintenance backup of historical data, full or incremental',
  parameters: Object.values(maintenanceParameters),
  run: async (context, given) => (await import('./commands/backup-maintenance.ts')).backupMaintenance(context, given),
};
const list: Operation = {
  name: 'list',
  label: 'List the backups',
  parameters: Object.values(backupListParameters),
  run: async (context, given) => (await import('./commands/backup-list.ts')).backupList(context, given),
};
const show: Operation = {
  name: 'show',
  label: 'Show what a backup is, and what is in it',
  parameters: Object.values(backupShowParameters),
  run: async (context, given) => (await import('./commands/backup-show.ts')).backupShow(context, given),
};
const verify: Operation = {
  name: 'verify',
  label: 'Read a backup and compare it with its manifest',
  parameters: Object.values(backupVerifyParameters),
  run: async (context, given) => (await import('./commands/backup-verify.ts')).backupVerify(context, given),
};
const restore: Operation = {
  name: 'restore',
  label: 'Restore files of a backup, or all of it',
  parameters: Object.values(backupRestoreParameters),
  run: async (context, given) => (await import('./commands/backup-restore.ts')).backupRestore(context, given),
};
const prune: Operation = {
  name: 'prune',
  label: 'Remove old backups',
  parameters: Object.values(backupPruneParameters),
  run: async (context, given) => (await import('./commands/backup-prune.ts')).backupPrune(context, given),
};
const unblock: Operation = {
  name: 'unblock',
  label: 'Settle what a backup or restore that died has left',
  parameters: Object.values(backupUnblockParameters),
  run: async (context, given) => (await import('./commands/backup-unblock.ts')).backupUnblock(context, given),
};

/** How the backups stand is told first. */
const withStanding = (operation: Operation): Operation => ({
  ...operation,
  run: async (context, given) => {
    (await import('./commands/backup-run.ts')).tellStanding(context);
    return operation.run(context, given);
  },
});

/** Option 3: `cmsadm backup` makes one; the menu asks first what is to be done. */
export const backupOption: Option = {
  command: 'backup',
  operation: withStanding({ ...make, name: 'backup', label: 'Filesystem backup' }),
  atMenu: withStanding({
    name: 'backup',
    label: 'Make, look at, restore and remove backups',
    parameters: [],
    run: async (context) =>
      (await import('./commands/backup-menu.ts')).backupMenu(context, [
        ...[make, maintenance, list, show, verify, restore, prune],
      ]),
  }),
  more: [
    ...[withStanding(maintenance), withStanding(list), show, verify],
    ...[withStanding(restore), withStanding(prune), unblock],
  ],
};
