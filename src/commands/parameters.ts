import type { Parameter } from './context.ts';

/** The questions of set up, in their order; each is also a flag and a key of the answers file. */
export const setupParameters = {
  ntpServer: {
    name: 'ntp-server',
    question: 'NTP server IP address, if time zones differ',
    help: 'IP address of the NTP server; none drops a saved one',
  },
  secondaryIp: {
    name: 'secondary-ip',
    question: 'IP address of the secondary server',
    help: 'IP address of the secondary server',
  },
  secondaryFqdn: {
    name: 'secondary-fqdn',
    question: 'Fully qualified domain name of the secondary server',
    help: 'FQDN of the secondary server',
  },
  licencePackage: {
    name: 'licence-package',
    question: 'Full path of the licence package',
    help: 'full path of the licence package (zip)',
  },
  haPackage: { name: 'ha-package', question: 'Full path of the HA package', help: 'full path of the HA package (zip)' },
} as const satisfies Record<string, Parameter>;

/** Asked only when the two servers meet for the first time. */
export const contactParameters = {
  peerUser: {
    name: 'peer-user',
    question: 'User for the first login on the secondary',
    help: 'root, or a sudo user, for the first contact',
  },
  sshPort: { name: 'ssh-port', question: 'SSH port of the secondary', help: 'SSH port of the secondary' },
  peerFingerprint: { name: 'peer-fingerprint', question: '', help: 'host key of the secondary, SHA256:…' },
  peerKey: {
    name: 'peer-key',
    question: 'Private key for that login, full path (empty: password or agent)',
    help: 'private key file for the first contact',
  },
  peerPasswordFile: { name: 'peer-password-file', question: '', help: 'file with the password of that user' },
  peerPasswordFd: { name: 'peer-password-fd', question: '', help: 'file descriptor to read that password from' },
} as const satisfies Record<string, Parameter>;

/** Never asked; what they preset stands in the review. */
export const overrideParameters = {
  primaryIp: {
    name: 'primary-ip',
    question: '',
    help: 'this server’s own pair address, if not the one of its route to the secondary',
  },
  primaryFqdn: { name: 'primary-fqdn', question: '', help: 'this server’s FQDN, if not the one of its hosts file' },
  noRhosts: { name: 'no-rhosts', question: '', help: 'leave .rhosts as it is', flag: true },
  rhosts: {
    name: 'rhosts',
    question: '',
    help: 'write .rhosts again after a set up with --no-rhosts',
    flag: true,
  },
  jumpHost: { name: 'jump-host', question: '', help: 'refused: the servers must reach each other directly' },
} as const satisfies Record<string, Parameter>;

export const activateParameters = {
  peer: {
    name: 'peer',
    question: 'Type the FQDN of the primary that is away',
    help: 'FQDN of the primary that is away',
  },
  reason: { name: 'reason', question: 'Reason', help: 'why this server takes over, for the log' },
} as const satisfies Record<string, Parameter>;

export const disableParameters = {
  peer: {
    name: 'peer',
    question: 'Type the FQDN of the other server to end the pair',
    help: 'FQDN of the other server, as a confirmation',
  },
  alone: { name: 'alone', question: '', help: 'only this server: the other one is gone for good', flag: true },
} as const satisfies Record<string, Parameter>;

export const recoverParameters = {
  peerGone: {
    name: 'peer-gone',
    question: '',
    help: 'FQDN of the other server: it is gone for good, put back what waits for its word',
  },
} as const satisfies Record<string, Parameter>;

export const backupsParameters = {
  prune: { name: 'prune', question: '', help: 'remove old backups on both servers', flag: true },
  keep: {
    name: 'keep',
    question: 'Keep the backups of how many tags',
    help: 'with --prune: how many tags keep their backups, however old (10)',
  },
  days: {
    name: 'days',
    question: 'Keep also what is younger than how many days',
    help: 'with --prune: backups younger than this many days stay as well (30)',
  },
  alone: { name: 'alone', question: '', help: 'only on this server: the other one is not asked', flag: true },
} as const satisfies Record<string, Parameter>;

export const operationParameter: Parameter = {
  name: 'operation',
  question: 'Type the operation that shall be ended',
  help: 'the operation that hangs, as `show` tells it',
  words: true,
};

export const upgradeParameters = {
  back: { name: 'back', question: '', help: 'back to the release before, which both servers keep', flag: true },
} as const satisfies Record<string, Parameter>;

export const tagParameter: Parameter = {
  name: 'tag',
  question: 'Backup tag to restore',
  help: 'tag of the change to undo; without it the tags are listed',
};

export const syncParameters = {
  watch: { name: 'watch', question: '', help: 'show it again every second, until Ctrl-C', flag: true },
  set: {
    name: 'set',
    question: 'Data set (q leaves)',
    help: 'name of a data set, as `cmsadm sync status` shows it',
    words: true,
  },
  conflict: {
    name: 'id',
    question: '',
    help: 'a conflict of the list: shows how the kept copy and the file differ',
    words: true,
    atMenu: 'Conflict (Enter lists them)',
  },
  server: {
    name: 'server',
    question: 'Server whose versions stay',
    help: 'name of the server whose versions stay',
    words: true,
  },
  onlySet: { name: 'set', question: 'Data set', help: 'the data set, where more than one is undecided' },
  restore: { name: 'tag', question: 'Tag of the restore (q leaves)', help: 'tag of the restore' },
  restored: {
    name: 'tag',
    question: '',
    help: 'tag of the restore that has ended',
    atMenu: 'Tag of the restore that has ended (Enter: it was only paused)',
  },
  onlyDiff: {
    name: 'set',
    question: '',
    help: 'name of a data set, as `cmsadm sync status` shows it',
    words: true,
    atMenu: 'Data set (Enter: all of them)',
  },
  cleanFlag: { name: 'clean', question: '', help: 'empties the log; asks first', flag: true },
  clean: {
    name: 'clean',
    question: '',
    help: '`clean` empties the log; asks first',
    words: true,
    atMenu: 'Type clean to empty the log (Enter shows it)',
  },
} as const satisfies Record<string, Parameter>;

/** Of the ACDs; the questions about one are acdParameters. */
export const acdChoice = {
  acd: { name: 'acd', question: 'ACD number', help: 'number of the ACD' },
  archive: { name: 'from-archive', question: '', help: 'define a removed ACD again: its id, as acd_list shows it' },
  name: { name: 'name', question: 'Type the name of the ACD to remove it', help: 'name of the ACD, as a confirmation' },
  only: { name: 'acd', question: '', help: 'only this ACD' },
  link: {
    name: 'what',
    question: 'What to do with which link (start, stop, busy, release or change, and the number)',
    help: 'start, stop, busy, release or change, and the number of the ACD; flags of the links are for change',
    words: true,
  },
} as const satisfies Record<string, Parameter>;

/** Of run_ids and run_cms. */
export const serviceParameters = {
  idsAction: { name: 'action', question: '1 turn it on, 2 turn it off, q leaves (1-2)', help: 'on or off' },
  cmsAction: {
    name: 'action',
    question: '1 turn it on, 2 off but leave the database running, 3 off with the database, q leaves (1-3)',
    help: 'on, off (the database goes on) or all-off',
  },
  bothOff: {
    name: 'both-off',
    question: '',
    help: 'with --yes: also where it would be off on both servers, or the other one can’t be asked',
    flag: true,
  },
} as const satisfies Record<string, Parameter>;

export const agingParameters = {
  action: {
    name: 'action',
    question: '1 turn it on, 2 turn it off, 3 change the interval, q leaves (1-3)',
    help: 'on, off or change',
  },
  exclude: {
    name: 'exclude',
    question: 'Users whose passwords shall not age, with commas between them (none: there are none)',
    help: 'users whose passwords shall not age, with commas between them; none if there are none',
  },
  weeks: {
    name: 'weeks',
    question: 'Weeks until a password expires (1-52)',
    help: 'weeks until a password expires, 1 to 52 (9)',
  },
} as const satisfies Record<string, Parameter>;

export const accessParameters = {
  access: {
    name: 'access',
    question: '',
    help: 'restricted (to the members of the group, as it is now) or public',
  },
} as const satisfies Record<string, Parameter>;

/** Of the feature packages (options 4, 5, 6 and 11). */
export const packageParameters = {
  package: {
    name: 'package',
    question: 'Full path of the feature package (q leaves)',
    help: 'full path of the feature package (zip)',
  },
  name: { name: 'name', question: 'Package, by number or name (q leaves)', help: 'name of the feature package' },
  state: { name: 'state', question: '1 turns it on, 2 off (q leaves)', help: 'on or off' },
  set: { name: 'set', question: '', help: 'settings to change, as "name=value; name=value"' },
} as const satisfies Record<string, Parameter>;

/** Of `cmsadm package`, for who makes packages. */
export const packagingParameters = {
  folder: {
    name: 'folder',
    question: 'Folder of the package',
    help: 'folder with package.yaml and files/',
    words: true,
  },
  file: { name: 'file', question: 'Full path of the feature package', help: 'full path of the zip', words: true },
  key: {
    name: 'key',
    question: 'Private key that signs it (PEM)',
    help: 'private key that signs it, an Ed25519 key in PEM',
  },
  out: { name: 'out', question: 'Zip to write', help: 'zip to write' },
} as const satisfies Record<string, Parameter>;
