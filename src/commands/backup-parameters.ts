import type { Parameter } from './context.ts';

/** The questions of option 3, in their order; what has no question is preset and stands in the review. */
export const backupParameters = {
  device: {
    name: 'device',
    question: 'Device: 1 tape, 2 other (q leaves)',
    help: 'tape (1) or other (2): a tape drive, or a folder',
  },
  path: {
    name: 'path',
    question: 'Path of the backup (q leaves)',
    help: 'full path: the device of the drive, or the folder that the backup goes to',
  },
  format: { name: 'format', question: '', help: 'tar (default) or cpio, the original’s format' },
  compress: { name: 'compress', question: '', help: 'none (default), gzip or zstd' },
  noReadBack: {
    name: 'unread',
    question: '',
    help: 'do not read the backup back when it was written',
    flag: true,
  },
} as const satisfies Record<string, Parameter>;

/** The first question of the menu's option 3. */
export const backupMenuParameters = {
  task: { name: 'task', question: 'What shall be done (1-7, q leaves)', help: '' },
} as const satisfies Record<string, Parameter>;

export const maintenanceParameters = {
  level: {
    name: 'level',
    question: 'Maintenance backup: 1 full, 2 incremental (q leaves)',
    help: 'full (1), or incremental (2): what changed since the last full one',
  },
  device: backupParameters.device,
  path: backupParameters.path,
  compress: backupParameters.compress,
  noReadBack: backupParameters.noReadBack,
} as const satisfies Record<string, Parameter>;

/** A backup that was made: a name of the list, or where it lies. */
const name: Parameter = {
  name: 'backup',
  question: 'Backup (number, name or full path, q leaves)',
  help: 'a name of the list, or the full path of its file or device',
  words: true,
};

export const backupListParameters = {
  folder: { name: 'folder', question: '', help: 'lists the backups that lie in this folder as well' },
} as const satisfies Record<string, Parameter>;

export const backupVerifyParameters = { name } as const satisfies Record<string, Parameter>;

export const backupShowParameters = {
  name,
  files: { name: 'files', question: '', help: 'with the files in it', flag: true },
} as const satisfies Record<string, Parameter>;

export const backupRestoreParameters = {
  name,
  /** Asked only: the flags --into and --over say it themselves. */
  where: { name: 'where', question: 'Restore: 1 into a new folder, 2 over a mounted root (q leaves)', help: '' },
  into: {
    name: 'into',
    question: 'New or empty folder to restore into (q leaves)',
    help: 'new or empty folder that the files are restored into',
  },
  over: {
    name: 'over',
    question: 'Mounted root to restore over (q leaves)',
    help: 'mounted root that the files are restored over, instead of --into',
  },
  files: {
    name: 'files',
    question: 'Only these paths, with commas (Enter: all of it, q leaves)',
    help: 'only these paths, with commas: /etc/hosts,/cms/install',
  },
  full: { name: 'full', question: '', help: 'full path of the full backup that an incremental one stands on' },
  server: {
    name: 'server',
    question: 'Type the host name of this server to restore over it while it runs (q leaves)',
    help: 'with --over /: host name of this server, as a confirmation',
  },
} as const satisfies Record<string, Parameter>;

export const backupUnblockParameters = {
  over: { name: 'over', question: '', help: 'mounted root whose restore, from whichever system, ended half way' },
} as const satisfies Record<string, Parameter>;

export const backupPruneParameters = {
  keep: {
    name: 'keep',
    question: 'Keep how many backups of each kind (q leaves)',
    help: 'how many backups of each kind stay, however old',
  },
  days: {
    name: 'days',
    question: 'Keep also what is younger than how many days (q leaves)',
    help: 'backups younger than this many days stay as well',
  },
} as const satisfies Record<string, Parameter>;
